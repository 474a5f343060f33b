// The search for lost blocks, in a frozen copy of the process.
#ifndef MEMTRACE_CORE_COPY_SEARCH_H_
#define MEMTRACE_CORE_COPY_SEARCH_H_

#include "libmemtrace/core/block_graph.h"
#include "libmemtrace/core/stopped_threads.h"
#include "libmemtrace/core/thread_buffers.h"
#include "libmemtrace/format/recording.h"

namespace memtrace::core {

inline constexpr uint32_t kMostMappings = 65536;  // the kernel's own default limit

// Memory of the search, one mapping, made before the copy and not part of what is searched.
struct SearchArea {
  static constexpr uint64_t BytesFor(uint64_t blocks) { return sizeof(SearchArea) + BlockGraph::BytesFor(blocks); }

  struct Mapping {
    unwind::MemoryRange range;
    enum Kind : uint8_t { kOther, kMainStack, kMainHeap, kLibc } kind;
    bool shared;
    bool writable;
    bool guarded;  // right above memory that cannot be read
  };
  // sp == 0: its thread has ended. top: the thread pointer.
  struct Stack {
    uintptr_t sp;
    uintptr_t top;
  };

  alignas(16) uint8_t stack[64 * 1024];
  alignas(64) uint8_t work[2048];  // the CopySearch
  StoppedThread threads[kMostStoppedThreads];
  Stack stacks[2 * kMostStoppedThreads];
  struct Own {
    ThreadScratch* scratch;
    bool alive;  // its thread
  };
  Own own[kMostStoppedThreads];
  bool present[512];
  uint64_t page_words[512];
  Mapping mappings[kMostMappings];
  // followed by the graph's memory
};

class CopySearch {
 public:
  CopySearch(SearchArea* area, uint64_t area_bytes, uint64_t most_blocks)
      : area_(*area), area_bytes_(area_bytes), graph_(area + 1, most_blocks) {}

  // Before the copy is made, in the memory of the program: blocks and stacks, which are only true for as long as the
  // threads stand still. `caller` is the thread that makes the copy, `sp` where its part of its stack begins. False:
  // there are more blocks than room.
  bool Gather(uint32_t threads, int caller, uintptr_t sp);
  // In the copy. Gives up when less memory than that is left below the limit.
  format::LookState Run(uint64_t least_headroom);
  const BlockGraph& graph() const { return graph_; }

 private:
  using Mapping = SearchArea::Mapping;
  void AddStack(uintptr_t sp, uintptr_t top);
  void WipeOwnPointers();
  bool ReadMappings();
  uintptr_t UsedFrom(const Mapping& mapping) const;
  uintptr_t SkipGlibcHeap(const Mapping& mapping, uintptr_t from);
  void ScanRoots(const Mapping& mapping);
  void ScanContent(unwind::MemoryRange content);
  template <typename Visit>
  void VisitPresent(const Mapping& mapping, unwind::MemoryRange range, Visit visit);
  void FindPresent(const Mapping& mapping, uintptr_t begin, uint64_t pages);
  bool Continues(uint64_t bytes);

  SearchArea& area_;
  uint64_t area_bytes_;
  BlockGraph graph_;
  bool complete_ = false;  // every block of the program is recorded
  uint32_t threads_ = 0;
  uint32_t stacks_ = 0;
  uint32_t own_ = 0;
  uint32_t mappings_ = 0;
  int pagemap_ = -1;
  unwind::MemoryRange main_heap_;  // if it looks like glibc's
  uint64_t least_headroom_ = 0;
  uint64_t deadline_ns_ = 0;
  uint64_t unwatched_bytes_ = 0;
  format::LookState verdict_ = format::LookState::kDone;
};

static_assert(sizeof(CopySearch) <= sizeof(SearchArea::work) && alignof(CopySearch) <= 64);

// Bytes that the cgroup may still take without reclaiming; kUnknown: no limit is known.
uint64_t MemoryHeadroom();

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_COPY_SEARCH_H_
