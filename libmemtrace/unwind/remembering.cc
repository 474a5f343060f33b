#include "libmemtrace/unwind/remembering.h"

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/libunwind_backend.h"
#include "libmemtrace/unwind/modules.h"
#include "libmemtrace/unwind/resolve.h"
#include "libmemtrace/unwind/step.h"

namespace memtrace::unwind {
namespace {

constexpr uint16_t kUnverifiable = 1 << 14;

enum class Outcome { kMet, kEnd, kLost, kTooDeep, kOther };

// The step of a simple rule, with what it read. False: the general way must be tried.
[[gnu::always_inline]] inline bool StepSimply(CompactRule rule, const StackLimits& limits, Cursor* cursor,
                                              RememberedFrame* frame) {
  const uintptr_t bytes = limits.high - limits.low < 8 ? 0 : limits.high - limits.low - 7;
  const uintptr_t cfa = (rule.kind() == StepKind::kSp ? cursor->sp : cursor->fp) + rule.cfa_bytes();
  const uintptr_t ra_slot = cfa - rule.ra_bytes();
  const uintptr_t fp_slot = cfa - rule.fp_bytes();
  if (cfa <= cursor->sp || ra_slot - limits.low >= bytes || fp_slot - limits.low >= bytes) return false;
  if (!arch::kReturnAddressIsPushed && ra_slot == cfa) return false;
  const auto ra = LoadUnaligned<uintptr_t>(ra_slot);
  if (ra == 0) return false;
  frame->ra_slot = ra_slot;
  frame->ra = ra;
  frame->fp_slot = rule.fp_unchanged() ? ra_slot : fp_slot;
  frame->saved_fp = LoadUnaligned<uintptr_t>(frame->fp_slot);
  cursor->pc = arch::StripReturnAddress(ra);
  cursor->sp = cfa;
  if (!rule.fp_unchanged()) cursor->fp = frame->saved_fp;
  return true;
}

// Whether the words that the steps from frame `top` outwards read are as they were.
bool WordsUnchanged(const RememberedFrame* frames, uint32_t top) {
  for (uint32_t i = top + 1; i > 0; --i) {
    const RememberedFrame& frame = frames[i - 1];
    if (frame.ra_slot == 0) break;  // the outermost: nothing was read
    if (LoadUnaligned<uintptr_t>(frame.ra_slot) != frame.ra) return false;
    if (LoadUnaligned<uintptr_t>(frame.fp_slot) != frame.saved_fp) return false;
  }
  return true;
}

class Walk {
 public:
  Walk(const Registers& start, const StackLimits& limits, RememberedStack* stack)
      : stack_(*stack),
        limits_(limits),
        memory_(limits),
        cursor_{start.pc, start.sp, start.fp, 0, false},
        fresh_(stack->frames() + stack->capacity) {
    const bool usable = stack->high == limits.high && stack->module_generation == ModuleGeneration();
    candidate_ = usable ? stack->verifiable : 0;
  }

  Outcome Run() {
    for (;;) {
      if (Met()) return Outcome::kMet;
      if (count_ == stack_.capacity) return Outcome::kTooDeep;
      const uintptr_t pc = cursor_.LookupPc();
      CompactRule rule = cursor_.is_exact ? CompactRule() : RuleCache::Find(cursor_.pc);
      if (!rule.is_simple()) rule = RuleFor(pc);
      if (rule.kind() == StepKind::kFull) return Outcome::kOther;
      if (rule.kind() == StepKind::kNone && count_ > 0) return Outcome::kLost;
      RememberedFrame* frame = &fresh_[count_++];
      *frame = {cursor_.pc, cursor_.sp, cursor_.fp, 0, 0, 0, 0, 0, rule.module(), 0};
      if (cursor_.is_exact) frame->flags = format::kNodeInterrupted | RememberedStack::kExactPc | kUnverifiable;
      if (rule.kind() == StepKind::kSignal) frame->flags |= RememberedStack::kExactPc;
      if (rule.is_simple() && !cursor_.is_exact && StepSimply(rule, limits_, &cursor_, frame)) continue;
      const Step step = StepByRule(rule, &memory_, &cursor_);
      if (step == Step::kEnd) return Outcome::kEnd;
      if (step == Step::kLost) return Outcome::kLost;
      frame->flags |= kUnverifiable;
    }
  }

  uint32_t fresh_count() const { return count_; }
  uint32_t kept() const { return candidate_; }

 private:
  // Both the remembered frames and the walk go outwards, to higher stack pointers.
  bool Met() {
    const RememberedFrame* frames = stack_.frames();
    while (candidate_ > 0 && frames[candidate_ - 1].sp < cursor_.sp) --candidate_;
    if (candidate_ == 0) return false;
    const RememberedFrame& frame = frames[candidate_ - 1];
    if (frame.sp != cursor_.sp || frame.pc != cursor_.pc || frame.fp != cursor_.fp || cursor_.is_exact) return false;
    if (WordsUnchanged(frames, candidate_ - 1)) return true;
    candidate_ = 0;
    return false;
  }

  RememberedStack& stack_;
  // Words outside of these are readable now and perhaps not next time: steps that need them are not remembered.
  const StackLimits limits_;
  StackMemory memory_;
  Cursor cursor_;
  RememberedFrame* fresh_;
  uint32_t count_ = 0;
  uint32_t candidate_;  // remembered frames that may still be met
};

}  // namespace

bool UnwindRemembering(const Registers& start, const StackLimits& limits, RememberedStack* stack, uint32_t* kept) {
  *kept = 0;
  if (IsLibunwindUsed()) return false;
  Walk walk(start, limits, stack);
  const Outcome outcome = walk.Run();
  const uint32_t fresh = walk.fresh_count();
  const uint32_t met = outcome == Outcome::kMet ? walk.kept() : 0;
  if (outcome == Outcome::kOther || outcome == Outcome::kTooDeep || met + fresh > stack->capacity) {
    stack->count = 0;
    stack->verifiable = 0;
    return false;
  }
  // Frames that were walked anew may still be those of before, with other registers: then they keep their nodes too.
  const bool truncated = met == 0 ? outcome == Outcome::kLost : stack->truncated;
  bool same = stack->module_generation == ModuleGeneration() && stack->truncated == truncated;
  RememberedFrame* frames = stack->frames();
  uint32_t verifiable = met;
  *kept = met;
  for (uint32_t i = met; i < met + fresh; ++i) {
    RememberedFrame frame = frames[stack->capacity + met + fresh - 1 - i];
    same = same && i < stack->count && frames[i].pc == frame.pc && frames[i].flags == frame.flags;
    if (same) {
      frame.node = frames[i].node;
      ++*kept;
    }
    if (verifiable == i && (frame.flags & kUnverifiable) == 0) ++verifiable;
    frames[i] = frame;
  }
  stack->count = met + fresh;
  stack->verifiable = verifiable;
  stack->module_generation = ModuleGeneration();
  stack->high = limits.high;
  stack->truncated = truncated;
  return true;
}

}  // namespace memtrace::unwind
