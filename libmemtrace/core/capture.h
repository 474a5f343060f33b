// From the registers of the caller to the node of its stack.
#ifndef MEMTRACE_CORE_CAPTURE_H_
#define MEMTRACE_CORE_CAPTURE_H_

#include "libmemtrace/core/process.h"
#include "libmemtrace/core/thread_buffers.h"

namespace memtrace::core {

// The stack is not that of last time.
uint32_t CaptureMovedStack(const unwind::Registers& caller, const unwind::StackLimits& limits,
                           unwind::RememberedStack* stack);
// Compares the stack that is remembered with a full walk.
void VerifyStack(const unwind::Registers& caller, const unwind::StackLimits& limits, unwind::RememberedStack* stack);

// format::kUnknownSite: it cannot be walked, or there is no room for its frames.
[[gnu::always_inline]] inline uint32_t CaptureStack(const unwind::Registers& caller, ThreadScratch* scratch) {
  // What can be read from `sp` up stays readable for as long as the thread is on that stack.
  unwind::StackLimits& known = scratch->limits;
  if (caller.sp - known.low >= known.high - known.low) [[unlikely]]
    known = unwind::CurrentStackLimits(caller.sp, scratch->is_main_thread);
  const unwind::StackLimits limits = {caller.sp, known.high};
  unwind::RememberedStack* stack = &scratch->stack;
  if (unwind::IsUnmoved(caller, limits, stack)) [[likely]] {
    if (g_process.options.unwinder == config::Unwinder::kVerify) [[unlikely]]
      VerifyStack(caller, limits, stack);
    return stack->frames()[stack->count - 1].node;
  }
  return CaptureMovedStack(caller, limits, stack);
}

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_CAPTURE_H_
