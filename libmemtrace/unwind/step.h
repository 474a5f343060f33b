// One step from a frame to its caller, where sp and fp suffice.
#ifndef MEMTRACE_UNWIND_STEP_H_
#define MEMTRACE_UNWIND_STEP_H_

#include <cstdint>

#include "libmemtrace/unwind/memory.h"
#include "libmemtrace/unwind/rules.h"

namespace memtrace::unwind {

// Where a walk stands.
struct Cursor {
  uintptr_t pc;  // as it was found: a return address, or exact
  uintptr_t sp;
  uintptr_t fp;
  uintptr_t lr;   // 0: unknown. Known in a frame that a signal interrupted, where it exists
  bool is_exact;  // pc is that of an instruction about to run
  uintptr_t LookupPc() const { return is_exact ? pc : pc - 1; }
};

enum class Step {
  kCaller,  // the cursor is in the caller
  kEnd,     // there is none
  kLost,    // the stack could not be followed
};

// By any rule but kFull.
Step StepByRule(CompactRule rule, StackMemory* memory, Cursor* cursor);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_STEP_H_
