#include "libmemtrace/unwind/unwind.h"

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/full.h"
#include "libmemtrace/unwind/libunwind_backend.h"
#include "libmemtrace/unwind/resolve.h"
#include "libmemtrace/unwind/step.h"

namespace memtrace::unwind {

Unwound Unwind(const Registers& start, const StackLimits& limits, Frame* frames, uint32_t capacity) {
  if (IsLibunwindUsed()) [[unlikely]]
    return UnwindByLibunwind(start, frames, capacity);
  StackMemory memory(limits);
  Cursor cursor{start.pc, start.sp, start.fp, 0, false};
  uint32_t count = 0;
  Step step = Step::kCaller;
  while (step == Step::kCaller && count < capacity) {
    const uintptr_t pc = cursor.LookupPc();
    const CompactRule rule = RuleFor(pc);
    Frame* frame = &frames[count];
    frame->pc = pc;
    frame->module = rule.module;
    frame->flags = cursor.is_exact ? format::kNodeInterrupted : uint16_t{0};
    if (rule.kind == StepKind::kSp || rule.kind == StepKind::kFp) [[likely]] {
      step = StepByRule(rule, &memory, &cursor);
    } else if (rule.kind == StepKind::kFull) {
      return UnwindFull(start, limits, frames, capacity);
    } else if (rule.kind == StepKind::kNone && count > 0) {
      break;  // a return address that is none
    } else {
      // The line of a restorer is that of its first instruction, not of what lies in front of it.
      if (rule.kind == StepKind::kSignal) frame->pc = cursor.pc;
      step = StepBySpecialRule(rule, &memory, &cursor);
    }
    frame->cfa = step == Step::kCaller ? cursor.sp : 0;
    ++count;
  }
  return {count, step != Step::kEnd};
}

}  // namespace memtrace::unwind
