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
                                              FreshFrame* fresh) {
  const uintptr_t bytes = limits.high - limits.low < 8 ? 0 : limits.high - limits.low - 7;
  const uintptr_t cfa = (rule.kind() == StepKind::kSp ? cursor->sp : cursor->fp) + rule.cfa_bytes();
  const uintptr_t ra_slot = cfa - rule.ra_bytes();
  const uintptr_t fp_slot = cfa - rule.fp_bytes();
  if (cfa <= cursor->sp || ra_slot - limits.low >= bytes || fp_slot - limits.low >= bytes) return false;
  if (!arch::kReturnAddressIsPushed && ra_slot == cfa) return false;
  const auto ra = LoadUnaligned<uintptr_t>(ra_slot);
  if (ra == 0) return false;
  const auto saved_fp = LoadUnaligned<uintptr_t>(fp_slot);
  fresh->words[0] = {ra_slot, ra};
  fresh->words[1] = {fp_slot, saved_fp};
  fresh->frame.words = rule.fp_unchanged() ? 1 : 2;
  cursor->pc = arch::StripReturnAddress(ra);
  cursor->sp = cfa;
  cursor->fp = rule.fp_unchanged() ? cursor->fp : saved_fp;
  return true;
}

// Whether the first `count` words are as they were. Four at a time: a branch for each would cost more than the loads.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] bool WordsUnchanged(const StackWord* words, uint32_t count) {
  const auto change = [](const StackWord& word) { return LoadUnaligned<uintptr_t>(word.slot) ^ word.value; };
  const StackWord* word = words + count;
  for (; word - words >= 4; word -= 4) {
    if ((change(word[-1]) | change(word[-2]) | change(word[-3]) | change(word[-4])) != 0) return false;
  }
  uintptr_t changes = 0;
  while (word > words) changes |= change(*--word);
  return changes == 0;
}

class Walk {
 public:
  Walk(const Registers& start, const StackLimits& limits, RememberedStack* stack)
      : stack_(*stack),
        limits_(limits),
        memory_(limits),
        cursor_{start.pc, start.sp, start.fp, 0, false},
        fresh_(stack->fresh()) {
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
      FreshFrame* fresh = &fresh_[count_++];
      RememberedFrame* frame = &fresh->frame;
      *frame = {cursor_.pc, cursor_.sp, cursor_.fp, 0, 0, rule.module(), 0};
      if (cursor_.is_exact) frame->flags = format::kNodeInterrupted | RememberedStack::kExactPc | kUnverifiable;
      if (rule.kind() == StepKind::kSignal) frame->flags |= RememberedStack::kExactPc;
      if (rule.is_simple() && !cursor_.is_exact && StepSimply(rule, limits_, &cursor_, fresh)) continue;
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
    if (WordsUnchanged(stack_.words(), frame.words)) return true;
    candidate_ = 0;
    return false;
  }

  RememberedStack& stack_;
  // Words outside of these are readable now and perhaps not next time: steps that need them are not remembered.
  const StackLimits limits_;
  StackMemory memory_;
  Cursor cursor_;
  FreshFrame* fresh_;
  uint32_t count_ = 0;
  uint32_t candidate_;  // remembered frames that may still be met
};

// Puts `fresh` frames, innermost first, inside of the `met` outermost ones that stay. Those that are the same places in
// the code as before keep their nodes, if `same`; returns how many frames do, with the outermost.
uint32_t Remember(RememberedStack* stack, uint32_t met, uint32_t fresh, bool same) {
  RememberedFrame* frames = stack->frames();
  StackWord* words = stack->words();
  uint32_t word = met == 0 ? 0 : frames[met - 1].words;
  uint32_t kept = met;
  uint32_t verifiable = met;
  const FreshFrame* from = stack->fresh() + fresh;
  for (uint32_t i = met; i < met + fresh; ++i) {
    const FreshFrame& found = *--from;
    RememberedFrame* frame = &frames[i];
    same = same && i < stack->count && frame->pc == found.frame.pc && frame->flags == found.frame.flags;
    const uint32_t node = frame->node;
    *frame = found.frame;
    if (same) {
      frame->node = node;
      ++kept;
    }
    words[word] = found.words[0];
    words[word + 1] = found.words[1];
    word += found.frame.words;
    frame->words = word;
    if (verifiable == i && (found.frame.flags & kUnverifiable) == 0) ++verifiable;
  }
  stack->count = met + fresh;
  stack->verifiable = verifiable;
  return kept;
}

// The whole stack is that of last time: what most allocations find.
[[gnu::always_inline]] inline bool IsUnmoved(const Registers& start, const StackLimits& limits,
                                             RememberedStack* stack) {
  const uint32_t count = stack->count;
  if (count == 0 || stack->verifiable != count || stack->high != limits.high) return false;
  const RememberedFrame& top = stack->frames()[count - 1];
  return top.pc == start.pc && top.sp == start.sp && top.fp == start.fp &&
         stack->module_generation == ModuleGeneration() && WordsUnchanged(stack->words(), top.words);
}

}  // namespace

bool UnwindRemembering(const Registers& start, const StackLimits& limits, RememberedStack* stack, uint32_t* kept) {
  *kept = 0;
  if (IsLibunwindUsed()) [[unlikely]]
    return false;
  if (IsUnmoved(start, limits, stack)) {
    *kept = stack->count;
    return true;
  }
  Walk walk(start, limits, stack);
  const Outcome outcome = walk.Run();
  const uint32_t fresh = walk.fresh_count();
  const uint32_t met = outcome == Outcome::kMet ? walk.kept() : 0;
  if (outcome == Outcome::kOther || outcome == Outcome::kTooDeep || met + fresh > stack->capacity) {
    stack->count = 0;
    stack->verifiable = 0;
    return false;
  }
  if (outcome == Outcome::kMet && fresh == 0) {
    stack->count = stack->verifiable = *kept = met;
    return true;
  }
  // Frames that were walked anew may still be those of before, with other registers.
  const bool truncated = met == 0 ? outcome == Outcome::kLost : stack->truncated;
  const bool same = stack->module_generation == ModuleGeneration() && stack->truncated == truncated;
  *kept = Remember(stack, met, fresh, same);
  stack->module_generation = ModuleGeneration();
  stack->high = limits.high;
  stack->truncated = truncated;
  return true;
}

}  // namespace memtrace::unwind
