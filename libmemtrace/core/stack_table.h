// The stack table: a trie of frames in the recording. Append-only; a stack is named by the node of its
// innermost frame.
#ifndef MEMTRACE_CORE_STACK_TABLE_H_
#define MEMTRACE_CORE_STACK_TABLE_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/core/recording.h"
#include "libmemtrace/rt/lock.h"

namespace memtrace::core {

// A new stack's nodes are numbered one after the other, so most nodes are followed by their first child: that is where
// it is looked for. The index, which finds the others, lies in private memory and may forget: then a frame gets a
// second node, and readers merge stacks that are equal. So neither growing the index nor losing a race needs a lock.
class StackTable {
 public:
  bool Open(Recording* recording);
  void ForgetInChild();

  // The node of frame (pc, module) called from `parent` (0: outermost). Returns 0 when the table is full.
  [[gnu::always_inline]] uint32_t Intern(uint32_t parent, uint64_t pc, uint16_t module, uint16_t flags) {
    const Frame frame = {(pc & 0xffffffffffff) | uint64_t{module} << 48, parent, flags};
    Index* index = index_.load(std::memory_order_acquire);
    // Where a parent's second and third child are, see Probes.
    const Slot* first = &index->slots()[parent * 2 & index->mask];
    __builtin_prefetch(first);
    if (HasFollower(parent) && IsOf(frame, NodeAt(parent)[1])) return parent + 1;
    for (const Slot* slot = first; slot != first + 2; ++slot) {
      const uint32_t node = Look(*slot, frame);
      if (__builtin_expect(node != 0 && node != kOther, 1)) return node;
    }
    return InternElsewhere(index, frame);
  }

  uint64_t private_bytes() const { return private_bytes_.load(std::memory_order_relaxed); }

  // Unmaps the private part. Requires: nobody interns.
  void Release();

 private:
  struct Frame {
    uint64_t pc_module;  // as in format::Node
    uint32_t parent;
    uint16_t flags;
    // Of the node's other half the slot has no room: what it keeps makes most looks at the wrong node needless.
    uint32_t tag() const { return static_cast<uint32_t>(pc_module) + parent * 0x9e3779b1; }
  };
  // The node in the low half, the tag of its frame in the high one; 0: empty. Stored after the node.
  using Slot = uint64_t;
  static constexpr uint32_t kOther = ~uint32_t{0};
  static constexpr uint32_t kSlotsPerLine = 64 / sizeof(Slot);
  struct alignas(64) Index {
    uint32_t mask;  // followed by mask + 1 slots
    Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
  };
  class Probes;
  // Whether the node with the next number lies behind this one in memory.
  static constexpr bool HasFollower(uint32_t node) { return (node + 1) % format::kNodesPerChunk != 0; }
  [[gnu::always_inline]] static bool IsOf(const Frame& frame, const format::Node& node) {
    return Load(node.pc_module, std::memory_order_acquire) == frame.pc_module && node.parent == frame.parent &&
           node.flags == frame.flags;
  }
  static constexpr uint64_t IndexBytes(uint32_t slots) { return sizeof(Index) + uint64_t{slots} * sizeof(Slot); }
  static Index* NewIndex(uint32_t slots);
  static constexpr Slot SlotOf(uint32_t node, uint32_t tag) { return uint64_t{tag} << 32 | node; }
  // The node in the slot if it is that of this frame, 0 if the slot is empty, else kOther.
  [[gnu::always_inline]] uint32_t Look(const Slot& slot, const Frame& frame) const {
    const Slot found = Load(slot, std::memory_order_acquire);
    if (found == 0) return 0;
    if (found >> 32 != frame.tag()) return kOther;
    return IsOf(frame, *NodeAt(static_cast<uint32_t>(found))) ? static_cast<uint32_t>(found) : kOther;
  }
  uint32_t InternElsewhere(Index* index, const Frame& frame);
  uint32_t InternNew(Index* index, Slot* free_slot, const Frame& frame);
  uint32_t Append(const Frame& frame);
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
