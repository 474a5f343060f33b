#include "libmemtrace/unwind/remembering.h"

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/libunwind_backend.h"
#include "libmemtrace/unwind/modules.h"
#include "libmemtrace/unwind/resolve.h"
#include "libmemtrace/unwind/step.h"

namespace memtrace::unwind {
namespace {

// Flags of a frame, beside those in the header: it cannot be met again; its step read no words that are checked.
constexpr uint16_t kUnverifiable = 1 << 14;
constexpr uint16_t kNoWords = 1 << 13;

// Whether what lies outwards depends on the fp that the frame is entered with, if it does on the one that its caller is
// entered with or not.
bool NeedsFp(const FreshFrame& frame, bool caller_needs_fp) {
  if ((frame.flags & kNoWords) != 0) return frame.rule.kind() != StepKind::kEnd;
  return frame.rule.kind() == StepKind::kFp || (frame.rule.fp_unchanged() && caller_needs_fp);
}

enum class Outcome { kMet, kEnd, kLost, kTooDeep, kOther };

// How many of the first `count` words, in their order, are as they were.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] uint32_t UnchangedWords(const StackWord* words, uint32_t count) {
  uint32_t same = 0;
  while (same < count && LoadUnaligned<uintptr_t>(words[same].slot) == words[same].value) ++same;
  return same;
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
      if (!cursor_.is_exact && StepSimply()) return Outcome::kMet;
      if (count_ == stack_.capacity) return Outcome::kTooDeep;
      const CompactRule rule = RuleFor(cursor_.LookupPc());
      if (rule.kind() == StepKind::kFull) return Outcome::kOther;
      if (rule.kind() == StepKind::kNone && count_ > 0) {
        fresh_[count_ - 1].flags |= kUnverifiable;  // what lies there may be found out next time
        return Outcome::kLost;
      }
      FreshFrame* frame = &fresh_[count_++];
      *frame = {cursor_.pc, cursor_.sp, cursor_.fp, 0, 0, rule, kNoWords};
      if (cursor_.is_exact) frame->flags |= format::kNodeInterrupted | RememberedStack::kExactPc | kUnverifiable;
      if (rule.kind() == StepKind::kSignal) frame->flags |= RememberedStack::kExactPc;
      const Step step = StepByRule(rule, &memory_, &cursor_);
      if (step == Step::kEnd) return Outcome::kEnd;
      if (step == Step::kLost) return Outcome::kLost;
      frame->flags |= kUnverifiable;
    }
  }

  uint32_t fresh_count() const { return count_; }
  uint32_t kept() const { return candidate_; }

 private:
  // Goes on for as long as the rules are cached and simple and the stack lies within the limits; everything in
  // registers, nothing called. Returns true when a remembered frame is met, from which on all is as it was.
  bool StepSimply() {
    SimpleStep step(limits_, cursor_);
    const RememberedFrame* const outermost = stack_.frames();
    const RememberedFrame* candidate = outermost + candidate_ - 1;
    const auto sp_of = [outermost](const RememberedFrame* f) { return f < outermost ? UINTPTR_MAX : f->sp; };
    uintptr_t candidate_sp = sp_of(candidate);
    FreshFrame* frame = fresh_ + count_;
    FreshFrame* const end = fresh_ + stack_.capacity;
    bool met = false;
    for (; frame != end; ++frame) {
      // Both the remembered frames and the walk go outwards, to higher stack pointers.
      while (candidate_sp < step.sp) candidate_sp = sp_of(--candidate);
      if (candidate_sp == step.sp && candidate >= outermost && IsEnteredAt(*candidate, step.pc, step.sp, step.fp)) {
        met = IsAsItWas(&candidate);
        if (met) break;
        candidate_sp = sp_of(candidate);
      }
      if (!step.Read()) break;
      *frame = {step.pc, step.sp, step.fp, step.ra, step.saved_fp, step.rule, 0};
      step.GoToCaller();
    }
    count_ = static_cast<uint32_t>(frame - fresh_);
    candidate_ = static_cast<uint32_t>(candidate + 1 - outermost);
    step.Leave(&cursor_);
    return met;
  }

  // The walk stands where the remembered frame **candidate was entered. Whether the words from there outwards are as
  // they were; if not, *candidate is the innermost frame for which they are, perhaps the one before the outermost. They
  // are looked at once in a walk.
  [[gnu::noinline]] bool IsAsItWas(const RememberedFrame** candidate) {
    const uint32_t words = (*candidate)->words;
    if (words <= checked_words_) return true;
    checked_words_ = UnchangedWords(stack_.words(), words);
    while (*candidate >= stack_.frames() && (*candidate)->words > checked_words_) --*candidate;
    return words == checked_words_;
  }

  RememberedStack& stack_;
  // Words outside of these are readable now and perhaps not next time: steps that need them are not remembered.
  const StackLimits limits_;
  StackMemory memory_;
  Cursor cursor_;
  FreshFrame* fresh_;
  uint32_t count_ = 0;
  uint32_t candidate_;          // remembered frames that may still be met
  uint32_t checked_words_ = 0;  // the first of words(), which are as they were
};

// Puts `fresh` frames, innermost first, inside of the `met` outermost ones that stay. Those that are the same places in
// the code as before keep their nodes, if `same`; returns how many frames do, with the outermost.
uint32_t Remember(RememberedStack* stack, uint32_t met, uint32_t fresh, bool same) {
  RememberedFrame* frame = stack->frames() + met;
  RememberedFrame* const before = stack->frames() + (same ? stack->count : 0);
  StackWord* word = stack->words() + (met == 0 ? 0 : frame[-1].words);
  uint32_t kept = met;
  uint64_t unverifiable = 0;
  uint32_t verifiable = met;
  // Of a frame whose words are checked: it was left by a simple step, to where the next one outwards begins.
  uintptr_t cfa = met == 0 ? 0 : frame[-1].sp;
  bool needs_fp = met != 0 && (frame[-1].flags & RememberedStack::kNeedsFp) != 0;
  for (const FreshFrame* found = stack->fresh() + fresh; found != stack->fresh();) {
    --found;
    word[0] = {cfa - found->rule.ra_bytes(), found->ra};
    word[1] = {cfa - found->rule.fp_bytes(), found->saved_fp};
    cfa = found->sp;
    word += (found->flags & kNoWords) != 0 ? 0 : found->rule.fp_unchanged() || !needs_fp ? 1 : 2;
    needs_fp = NeedsFp(*found, needs_fp);
    const auto flags = static_cast<uint16_t>(found->flags | (needs_fp ? RememberedStack::kNeedsFp : 0));
    // Frames that were walked anew may still be those of before, with other registers.
    same = same && frame < before && frame->pc == found->pc && frame->flags == flags;
    kept += same ? 1 : 0;
    frame->pc = found->pc;
    frame->sp = found->sp;
    frame->fp = found->fp;
    frame->words = static_cast<uint32_t>(word - stack->words());
    frame->module = found->rule.module();
    frame->flags = flags;
    ++frame;
    unverifiable |= found->flags & kUnverifiable;
    verifiable += unverifiable == 0 ? 1 : 0;
  }
  stack->count = met + fresh;
  stack->verifiable = verifiable;
  return kept;
}

}  // namespace

bool UnwindRemembering(const Registers& start, const StackLimits& limits, RememberedStack* stack, uint32_t* kept) {
  *kept = 0;
  if (IsLibunwindUsed()) [[unlikely]]
    return false;
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
  const bool truncated = met == 0 ? outcome == Outcome::kLost : stack->truncated;
  const bool same = stack->module_generation == ModuleGeneration() && stack->truncated == truncated;
  *kept = Remember(stack, met, fresh, same);
  stack->module_generation = ModuleGeneration();
  stack->high = limits.high;
  stack->truncated = truncated;
  return true;
}

}  // namespace memtrace::unwind
