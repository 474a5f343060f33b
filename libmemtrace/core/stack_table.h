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

 private:
  struct Index {
    uint32_t mask;  // followed by mask + 1 slots
    uint32_t* slots() { return &mask + 1; }
  };
  static Index* NewIndex(uint32_t slots);
  uint32_t Append(uint32_t parent, uint64_t pc_module, uint16_t flags);
  void GrowIndex();
  format::Node* NodeAt(uint32_t node) const { return recording_->At<format::Node, format::ChunkKind::kNode>(node); }

  Recording* recording_ = nullptr;
  std::atomic<Index*> index_{nullptr};
  std::atomic<uint32_t> used_{0};
  std::atomic<uint64_t> private_bytes_{0};
  rt::Lock grow_lock_;
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_STACK_TABLE_H_
