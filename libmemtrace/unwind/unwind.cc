#include "libmemtrace/unwind/unwind.h"

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/full.h"
#include "libmemtrace/unwind/libunwind_backend.h"
#include "libmemtrace/unwind/resolve.h"
#include "libmemtrace/unwind/step.h"

namespace memtrace::unwind {
namespace {

// Frames for as long as the rules are cached and simple and the stack lies within the limits; everything
// in registers, nothing called. The general loop takes over where this one stops, and gives back.
[[gnu::always_inline]] inline uint32_t WalkSimpleFrames(const StackLimits& limits, Cursor* cursor, Frame* frames,
                                                        uint32_t capacity) {
  SimpleStep step(limits, *cursor);
  uint32_t count = 0;
  while (count < capacity && step.Read()) {
    frames[count++] = {step.pc - 1, step.cfa, step.rule.module(), 0};
    step.GoToCaller();
  }
  step.Leave(cursor);
  return count;
}

}  // namespace

Unwound Unwind(const Registers& start, const StackLimits& limits, Frame* frames, uint32_t capacity) {
  if (IsLibunwindUsed()) [[unlikely]]
    return UnwindByLibunwind(start, frames, capacity);
  StackMemory memory(limits);
  Cursor cursor{start.pc, start.sp, start.fp, 0, false};
  uint32_t count = 0;
  Step step = Step::kCaller;
  while (step == Step::kCaller) {
    if (!cursor.is_exact) count += WalkSimpleFrames(memory.limits(), &cursor, frames + count, capacity - count);
    if (count == capacity) break;
    const uintptr_t pc = cursor.LookupPc();
    const CompactRule rule = RuleFor(pc);
    if (rule.kind() == StepKind::kFull) return UnwindFull(start, limits, frames, capacity);
    if (rule.kind() == StepKind::kNone && count > 0) break;  // a return address that is none
    Frame* frame = &frames[count++];
    // The line of a restorer is that of its first instruction, not of what lies in front of it.
    frame->pc = rule.kind() == StepKind::kSignal ? cursor.pc : pc;
    frame->module = rule.module();
    frame->flags = cursor.is_exact ? format::kNodeInterrupted : uint16_t{0};
    step = StepByRule(rule, &memory, &cursor);
    frame->cfa = step == Step::kCaller ? cursor.sp : 0;
  }
  return {count, step != Step::kEnd};
}

}  // namespace memtrace::unwind
