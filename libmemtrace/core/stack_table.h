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
  [[gnu::always_inline]] uint32_t Intern(uint32_t parent, uint64_t pc, uint16_t module, uint16_t flags) {
    const uint64_t pc_module = (pc & 0xffffffffffff) | uint64_t{module} << 48;
    Index* index = index_.load(std::memory_order_acquire);
    // Where a parent's first two children are, see Probes.
    const Slot* first = &index->slots()[parent * 2 & index->mask];
    for (const Slot* slot = first; slot != first + 2; ++slot) {
      const uint32_t node = Look(*slot, parent, pc_module, flags);
      if (__builtin_expect(node != 0 && node != kOther, 1)) return node;
    }
    return InternElsewhere(index, parent, pc_module, flags);
  }

  uint64_t private_bytes() const { return private_bytes_.load(std::memory_order_relaxed); }

  // Unmaps the private part. Requires: nobody interns.
  void Release();

 private:
  // All that is compared lies in the slot: a look-up costs one cache miss. `parent_node` is stored last; kBusy while
  // the rest is being written.
  struct Slot {
    uint64_t pc_module;
    uint64_t parent_node;  // from the low bits up: parent (32), node (30), the node's flags (2); 0: empty
  };
  static_assert(sizeof(Slot) == 16);
  static constexpr uint64_t kBusy = ~uint64_t{0};  // no node has that parent
  static constexpr uint32_t kOther = ~uint32_t{0};
  static constexpr uint32_t kNodeBits = 30;
  static constexpr uint32_t kNodeMask = (1u << kNodeBits) - 1;
  struct alignas(64) Index {  // a cache line, so that four slots share one
    uint32_t mask;            // followed by mask + 1 slots
    Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
  };
  static constexpr uint64_t IndexBytes(uint32_t slots) { return sizeof(Index) + uint64_t{slots} * sizeof(Slot); }
  static Index* NewIndex(uint32_t slots);
  static constexpr uint64_t ParentNode(uint32_t parent, uint32_t node, uint16_t flags) {
    return parent | uint64_t{node | uint32_t{flags} << kNodeBits} << 32;
  }
  // The node in the slot if it is that of this frame, 0 if the slot is empty, else kOther.
  [[gnu::always_inline]] static uint32_t Look(const Slot& slot, uint32_t parent, uint64_t pc_module, uint16_t flags) {
    const uint64_t found = Load(slot.parent_node, std::memory_order_acquire);
    if (found == 0) return 0;
    // An index that was replaced is emptied: somebody who still holds it may have filled the slot anew since we read
    // its node.
    const uint64_t node = found ^ ParentNode(parent, 0, flags);
    const bool same = (node & ~ParentNode(0, kNodeMask, 0)) == 0 &&
                      Load(slot.pc_module, std::memory_order_acquire) == pc_module && Load(slot.parent_node) == found;
    return same ? static_cast<uint32_t>(node >> 32) : kOther;
  }
  uint32_t InternElsewhere(Index* index, uint32_t parent, uint64_t pc_module, uint16_t flags);
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
