// Verified incremental unwinding.
//
// A thread remembers its last stack: for each frame the pc, sp and fp that the walk entered it with, and the values of
// the stack words that its step read. A new walk goes frame by frame until it meets a remembered frame with equal pc,
// sp and fp; then it only checks that the words above still hold the same values. A step depends on nothing but pc, sp,
// fp and those words, so by induction the frames above are what a full walk would find: this is exact, not a guess.
//
// In code without frame pointers that register holds anything, and what functions save of it changes all the time.
// Where no frame outwards takes it for one before another value is restored, neither it nor the word it is restored
// from counts.
#ifndef MEMTRACE_UNWIND_REMEMBERING_H_
#define MEMTRACE_UNWIND_REMEMBERING_H_

#include <cstdint>

#include "libmemtrace/unwind/memory.h"
#include "libmemtrace/unwind/modules.h"
#include "libmemtrace/unwind/rules.h"
#include "libmemtrace/unwind/unwind.h"

namespace memtrace::unwind {

// A word of the stack that a step read: the return address, or a saved frame pointer.
struct StackWord {
  uintptr_t slot;
  uintptr_t value;
};

struct RememberedFrame {
  uintptr_t pc;  // as the walk found it: a return address, or exact
  uintptr_t sp;
  uintptr_t fp;
  uint32_t words;  // that the steps from the outermost frame down to this one read: the first ones of words()
  uint32_t node;   // of the caller of this interface; kept with the frame
  uint16_t module;
  uint16_t flags;
};
static_assert(sizeof(RememberedFrame) == 40);

// A frame of the walk that goes on, before it is known how far out it lies.
struct FreshFrame {
  uintptr_t pc;
  uintptr_t sp;
  uintptr_t fp;
  uintptr_t ra;  // what the step read, where the rule says; if flags do not say that it went another way
  uintptr_t saved_fp;
  CompactRule rule;
  uint64_t flags;
};
static_assert(sizeof(FreshFrame) >= sizeof(Frame));

// One per thread, zeroed at first; only that thread uses it, and never twice at the same time.
struct RememberedStack {
  uint32_t count;       // frames of the last stack
  uint32_t verifiable;  // of these, counted from the outermost, those that may be met again
  uint32_t capacity;    // the longest stack
  uint32_t module_generation;
  uintptr_t high;  // of the limits that the stack was walked with
  bool truncated;

  // frames()[0] is the outermost frame.
  RememberedFrame* frames() { return reinterpret_cast<RememberedFrame*>(this + 1); }
  StackWord* words() { return reinterpret_cast<StackWord*>(frames() + capacity); }
  // The walk's own: free between walks.
  FreshFrame* fresh() { return reinterpret_cast<FreshFrame*>(words() + uint64_t{2} * capacity); }
  uintptr_t LookupPc(uint32_t frame) {
    const RememberedFrame& f = frames()[frame];
    return f.pc - ((f.flags & kExactPc) != 0 ? 0 : 1);
  }
  // Beside format::kNode... in RememberedFrame::flags.
  static constexpr uint16_t kExactPc = 1 << 15;
  static constexpr uint16_t kNeedsFp = 1 << 12;  // what lies outwards depends on the fp that the frame was entered with
};
constexpr uint64_t RememberedStackBytes(uint32_t capacity) {
  return sizeof(RememberedStack) + capacity * (sizeof(RememberedFrame) + 2 * sizeof(StackWord) + sizeof(FreshFrame));
}

inline bool IsEnteredAt(const RememberedFrame& frame, uintptr_t pc, uintptr_t sp, uintptr_t fp) {
  return frame.pc == pc && frame.sp == sp && (frame.fp == fp || (frame.flags & RememberedStack::kNeedsFp) == 0);
}

// Whether the first `count` words are as they were. Four at a time: a branch for each would cost more than the loads.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] inline bool WordsUnchanged(const StackWord* words,
                                                                                 uint32_t count) {
  const auto change = [](const StackWord& word) { return LoadUnaligned<uintptr_t>(word.slot) ^ word.value; };
  const StackWord* word = words + count;
  for (; word - words >= 4; word -= 4) {
    if ((change(word[-1]) | change(word[-2]) | change(word[-3]) | change(word[-4])) != 0) return false;
  }
  uintptr_t changes = 0;
  while (word > words) changes |= change(*--word);
  return changes == 0;
}

// Whether the whole stack is that of last time: what most allocations find. Then UnwindRemembering need not be called.
inline bool IsUnmoved(const Registers& start, const StackLimits& limits, RememberedStack* stack) {
  const uint32_t count = stack->count;
  if (count == 0 || stack->verifiable != count || stack->high != limits.high) return false;
  const RememberedFrame& top = stack->frames()[count - 1];
  return IsEnteredAt(top, start.pc, start.sp, start.fp) && stack->module_generation == ModuleGeneration() &&
         WordsUnchanged(stack->words(), top.words);
}

// Walks the stack from `start`; afterwards `stack` holds it, and the outermost *kept frames are the same places in the
// code as before, with their nodes. Returns false where this way is not open (registers beside sp and fp are needed,
// the stack is too deep, another backend is in use): use Unwind; what was remembered is forgotten. Contracts of
// unwind.h hold. Cost: two loads and a comparison for each word that is kept.
bool UnwindRemembering(const Registers& start, const StackLimits& limits, RememberedStack* stack, uint32_t* kept);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_REMEMBERING_H_
