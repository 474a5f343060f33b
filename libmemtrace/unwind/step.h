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

// By a simple rule, within known limits; everything in registers, nothing called. What is read goes into the caller's
// hands, for walks that remember it.
struct SimpleStep {
  SimpleStep(const StackLimits& limits, const Cursor& cursor)
      : pc(cursor.pc),
        sp(cursor.sp),
        fp(cursor.fp),
        slots_end(sp >= limits.low && sp < limits.high && limits.high >= sizeof(uintptr_t)
                      ? limits.high - sizeof(uintptr_t) + 1
                      : 0) {}

  // Reads what the frame at pc, sp and fp saved. False: the rule is not known or not simple, or the stack does not lie
  // within the limits.
  [[gnu::always_inline]] bool Read() {
    rule = RuleCache::Find(pc);
    if (!rule.is_simple()) [[unlikely]]
      return false;
    cfa = (rule.kind() == StepKind::kSp ? sp : fp) + rule.cfa_bytes();
    const uintptr_t ra_slot = cfa - rule.ra_bytes();
    const uintptr_t fp_slot = cfa - rule.fp_bytes();
    // What lies below sp is far above it without a sign.
    const uintptr_t farthest = ra_slot - sp > fp_slot - sp ? ra_slot - sp : fp_slot - sp;
    if (farthest >= (sp < slots_end ? slots_end - sp : 0)) [[unlikely]]
      return false;
    if (!arch::kReturnAddressIsPushed && ra_slot == cfa) [[unlikely]]
      return false;
    ra = LoadUnaligned<uintptr_t>(ra_slot);
    saved_fp = LoadUnaligned<uintptr_t>(fp_slot);
    return ra != 0;
  }
  // Requires that Read() returned true.
  [[gnu::always_inline]] void GoToCaller() {
    pc = arch::StripReturnAddress(ra);
    sp = cfa;
    fp = rule.fp_unchanged() ? fp : saved_fp;
  }
  void Leave(Cursor* cursor) const {
    cursor->pc = pc;
    cursor->sp = sp;
    cursor->fp = fp;
  }

  uintptr_t pc;
  uintptr_t sp;
  uintptr_t fp;
  // Of the frame that was read last.
  CompactRule rule;
  uintptr_t cfa = 0;
  uintptr_t ra = 0;
  uintptr_t saved_fp = 0;
  // Words can be read that begin at sp or above, and below this.
  uintptr_t slots_end;
};

// By any rule but kFull.
Step StepByRule(CompactRule rule, StackMemory* memory, Cursor* cursor);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_STEP_H_
