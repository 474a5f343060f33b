// Which blocks can still be reached: recorded blocks are the nodes, words that point into them the edges.
//
// Context: a copy of the process that nobody else uses; also tests. Allocates nothing: memory comes from the caller.
#ifndef MEMTRACE_CORE_BLOCK_GRAPH_H_
#define MEMTRACE_CORE_BLOCK_GRAPH_H_

#include <cstdint>

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/memory.h"

namespace memtrace::core {

class BlockGraph {
 public:
  static constexpr uint64_t BytesFor(uint64_t capacity) { return (capacity + kMostWindows) * 2 * sizeof(Block); }
  // `memory` holds BytesFor(capacity). Pages that are not needed are not touched.
  BlockGraph(void* memory, uint64_t capacity)
      : blocks_(static_cast<Block*>(memory)), spare_(blocks_ + capacity + kMostWindows), capacity_(capacity) {}

  // Any number of buckets, then Index(), then the rest. False: there are more blocks than `capacity`.
  bool Add(const format::LiveBucket& bucket);
  void Index();

  // Reaches the blocks that words of the range point into, to their start or elsewhere. Ranges must be readable.
  void Scan(unwind::MemoryRange range);
  void ScanBetweenBlocks(unwind::MemoryRange range);
  // The content of a reached block that has not been asked for yet. False: there is none.
  bool NextReached(unwind::MemoryRange* content);
  // Whether the block in this slot of a bucket is one that was added and never reached.
  bool IsLost(const format::LiveBucket& bucket, int slot) const;

  // Whether all blocks in the range look as those of glibc's malloc do, in its main heap or in another arena: then all
  // that lies between them is memory that is free, or the allocator's own.
  bool LooksLikeGlibc(unwind::MemoryRange range, bool main_heap) const;
  // Words that point to where the next chunk of glibc's heap begins are its lists of free memory, not pointers into the
  // last bytes of the block before, if they stand in libc's own data. An empty range ends that.
  void IgnoreChunkEnds(unwind::MemoryRange heap) { chunk_ends_ = heap; }

  uint64_t count() const { return count_; }

 private:
  static constexpr uint64_t kReached = uint64_t{1} << format::kAddressBits;  // in `key`, where the rate was
  static constexpr int kMostWindows = 16;
  struct Block {
    uint64_t key;
    uint32_t size;
    uint32_t birth;
  };
  // A run of addresses without large holes, in steps of 2^shift bytes. slots[i] is the first block of step i or later.
  struct Window {
    uintptr_t base;
    uint32_t first;  // block
    uint32_t end;
    int shift;
    uint32_t* slots;
  };

  static uintptr_t Begin(const Block& block) { return format::KeyAddress(block.key); }
  static uintptr_t End(const Block& block) {
    const uint64_t size = format::KeySize(block.key, block.size);
    return Begin(block) + (size == 0 ? 1 : size);
  }
  void Sort();
  bool FindWindows(uintptr_t largest_hole);
  void FillWindow(Window* window);
  uint32_t CountUpTo(uintptr_t address) const;  // blocks that begin there or before
  void Reach(uintptr_t word);

  Block* blocks_;
  Block* spare_;  // for sorting; then slots of windows and the stack of blocks to be scanned
  uint64_t capacity_;
  uint32_t count_ = 0;
  uint32_t* pending_ = nullptr;
  uint32_t pending_count_ = 0;
  unwind::MemoryRange all_;
  unwind::MemoryRange chunk_ends_;
  Window windows_[kMostWindows] = {};
  int window_count_ = 0;
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_BLOCK_GRAPH_H_
