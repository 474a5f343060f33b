// The two moments that every allocation function has in common with malloc and free. Inline: this is the fast path.
#ifndef MEMTRACE_INTERPOSE_RECORD_H_
#define MEMTRACE_INTERPOSE_RECORD_H_

#include "libmemtrace/core/events.h"
#include "libmemtrace/core/process.h"
#include "libmemtrace/core/thread_state.h"
#include "libmemtrace/interpose/real.h"
#include "libmemtrace/unwind/arch.h"

// Whoever called the interposed function that this stands in; which needs a frame pointer.
#define MEMTRACE_CALLER()                                                                 \
  (memtrace::interpose::Caller{static_cast<const uintptr_t*>(__builtin_frame_address(0)), \
                               reinterpret_cast<uintptr_t>(__builtin_dwarf_cfa())})

namespace memtrace::interpose {

// Looked into only when an allocation is recorded. Both architectures keep the caller's frame pointer and the return
// address where the frame pointer points to.
struct Caller {
  const uintptr_t* frame;
  uintptr_t sp;
  unwind::Registers registers() const { return {unwind::arch::StripReturnAddress(frame[1]), sp, frame[0]}; }
};

// Set around the real call: what the allocator allocates for itself while it serves the program is not the program's
// (jemalloc maps memory under its lock, musl's calloc calls malloc).
class RealCall {
 public:
  RealCall() { core::t_state.in_real = 1; }
  ~RealCall() { core::t_state.in_real = 0; }
  RealCall(const RealCall&) = delete;
  RealCall& operator=(const RealCall&) = delete;
};

// Whether this call was made by the real allocator, or by a signal handler that interrupted memtrace.
inline bool IsNested() {
  static_assert(offsetof(core::ThreadState, in_memtrace) == offsetof(core::ThreadState, in_real) + 1);
  uint16_t both;  // one load and one comparison
  __builtin_memcpy(&both, &core::t_state.in_real, sizeof(both));
  return both != 0;
}

[[gnu::noinline]] inline void* NoteAllocationSlowly(void* block, size_t size, Caller caller) {
  core::Allocated(block, size, caller.registers());
  return block;
}

// After an allocation that was not nested. Returns the block.
[[gnu::always_inline]] inline void* NoteAllocation(void* block, size_t size, Caller caller) {
  core::ThreadState& thread = core::t_state;
  thread.countdown -= static_cast<int64_t>(size + (size == 0 ? 1 : 0));
  if (__builtin_expect(thread.countdown <= 0, 0)) return NoteAllocationSlowly(block, size, caller);
  return block;
}

// After one that was: recorded later if a signal handler made it.
inline void NoteNestedAllocation(void* block, size_t size) {
  if (block != nullptr && core::t_state.in_real == 0) core::DeferAllocation(block, size);
}

// Before a block is freed. False: the caller must not free it, it was not the allocator's or somebody else will.
[[gnu::always_inline]] inline bool NoteFree(void* block) {
  bool NoteFreeSlowly(void* block);
  return __builtin_expect(!core::g_filter.MayHold(block), 1) || NoteFreeSlowly(block);
}

}  // namespace memtrace::interpose

#endif  // MEMTRACE_INTERPOSE_RECORD_H_
