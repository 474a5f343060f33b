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

// Distance below the CFA of the saved return address; 0: it is in the link register.
inline uintptr_t ReturnAddressBytes(CompactRule rule) {
  if (arch::kReturnAddressIsPushed) return 8;
  return 8 * static_cast<uintptr_t>(rule.ra_words == CompactRule::kAboveFp ? rule.fp_words - 1 : rule.ra_words);
}

// kSp, kFp: the common case, inline.
[[gnu::always_inline]] inline Step StepByRule(CompactRule rule, StackMemory* memory, Cursor* cursor) {
  const uintptr_t base = rule.kind == StepKind::kSp ? cursor->sp : cursor->fp;
  const uintptr_t cfa = base + static_cast<uintptr_t>(int64_t{rule.cfa_words} * 8);
  const uintptr_t ra_bytes = ReturnAddressBytes(rule);
  uintptr_t pc = cursor->lr;
  if (arch::kReturnAddressIsPushed || ra_bytes != 0) {
    if (cfa <= cursor->sp || !memory->Read(cfa - ra_bytes, &pc)) [[unlikely]]
      return Step::kLost;
  } else if (cfa < cursor->sp || pc == 0) {
    return Step::kLost;  // only what a signal interrupted can be a frameless leaf
  }
  if (rule.fp_words != CompactRule::kFpUnchanged &&
      !memory->Read(cfa - static_cast<uintptr_t>(int64_t{rule.fp_words} * 8), &cursor->fp)) [[unlikely]] {
    return Step::kLost;
  }
  if (pc == 0) [[unlikely]]
    return Step::kEnd;
  cursor->pc = arch::StripReturnAddress(pc);
  cursor->sp = cfa;
  cursor->lr = 0;
  cursor->is_exact = false;
  return Step::kCaller;
}

// All other kinds but kFull.
Step StepBySpecialRule(CompactRule rule, StackMemory* memory, Cursor* cursor);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_STEP_H_
