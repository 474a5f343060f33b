// The stack table: a trie of frames in the recording. Append-only; a stack is named by the node of its
// innermost frame.
#ifndef MEMTRACE_CORE_STACK_TABLE_H_
#define MEMTRACE_CORE_STACK_TABLE_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/core/recording.h"
#include "libmemtrace/rt/lock.h"

namespace memtrace::core {

// The index that finds nodes lies in private memory and may forget: then a frame gets a second node, and readers
// merge stacks that are equal. So neither growing the index nor losing a race needs a lock.
class StackTable {
 public:
  bool Open(Recording* recording);
  void ForgetInChild();

  // The node of frame (pc, module) called from `parent` (0: outermost). Returns 0 when the table is full.
  uint32_t Intern(uint32_t parent, uint64_t pc, uint16_t module, uint16_t flags);

  uint64_t private_bytes() const { return private_bytes_.load(std::memory_order_relaxed); }

  // Unmaps the private part. Requires: nobody interns.
  void Release();

 private:
  // All that is compared lies in the slot: a look-up costs one cache miss. `node` is stored last; kBusy while the rest
  // is being written.
  struct Slot {
    uint64_t pc_module;
    uint32_t parent;
    uint32_t node;  // flags of the node in the two high bits; 0: empty
  };
  static_assert(sizeof(Slot) == 16);
  static constexpr uint32_t kNodeBits = 30;
  static constexpr uint32_t kNodeMask = (1u << kNodeBits) - 1;
  static constexpr uint32_t kBusy = ~uint32_t{0};
  struct alignas(64) Index {  // a cache line, so that four slots share one
    uint32_t mask;            // followed by mask + 1 slots
    Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
  };
  static constexpr uint64_t IndexBytes(uint32_t slots) { return sizeof(Index) + uint64_t{slots} * sizeof(Slot); }
  static Index* NewIndex(uint32_t slots);
  static uint32_t Look(const Slot& slot, uint32_t parent, uint64_t pc_module, uint16_t flags);
  uint32_t InternNew(Index* index, Slot* free_slot, uint32_t parent, uint64_t pc_module, uint16_t flags);
  uint32_t Append(uint32_t parent, uint64_t pc_module, uint16_t flags);
  void GrowIndex(Index* old);
  format::Node* NodeAt(uint32_t node) const { return recording_->At<format::Node, format::ChunkKind::kNode>(node); }

  Recording* recording_ = nullptr;
  std::atomic<Index*> index_{nullptr};
  std::atomic<uint32_t> used_{0};
  std::atomic<uint64_t> private_bytes_{0};
  rt::Lock grow_lock_;
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_STACK_TABLE_H_
