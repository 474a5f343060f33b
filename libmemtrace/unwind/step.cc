#include "libmemtrace/unwind/step.h"

namespace memtrace::unwind {
namespace {

constexpr uintptr_t kWord = sizeof(uintptr_t);
constexpr uintptr_t kPageMask = ~uintptr_t{4095};
// A frame larger than this is a frame pointer that holds something else.
constexpr uintptr_t kLargestFrame = 16 << 20;

Step Return(uintptr_t pc, uintptr_t cfa, uintptr_t fp, Cursor* cursor) {
  if (pc == 0) return Step::kEnd;
  *cursor = {arch::StripReturnAddress(pc), cfa, fp, 0, false};
  return Step::kCaller;
}

// In functions that realign their stack the CFA is kept in memory below the frame pointer.
Step StepIndirect(CompactRule rule, StackMemory* memory, Cursor* cursor) {
  uintptr_t cfa;
  uintptr_t fp = cursor->fp;
  uintptr_t pc;
  const uintptr_t ra_bytes = ReturnAddressBytes(rule);
  if (!memory->Read(cursor->fp + static_cast<uintptr_t>(int64_t{rule.cfa_words} * 8), &cfa) || cfa <= cursor->sp ||
      ra_bytes == 0 || !memory->Read(cfa - ra_bytes, &pc)) {
    return Step::kLost;
  }
  if (rule.fp_words != CompactRule::kFpUnchanged &&
      !memory->Read(cursor->fp + static_cast<uintptr_t>(int64_t{rule.fp_words} * 8), &fp)) {
    return Step::kLost;
  }
  return Return(pc, cfa, fp, cursor);
}

// Nothing vouches for the frame pointer here, so beyond the page that sp is in every read is probed. What
// it finds as return address must turn out to be code in the next step. Zero marks the outermost frame
// (x86-64 psABI 3.4.1, AAPCS64 6.4.6).
Step StepByFramePointer(StackMemory* memory, Cursor* cursor) {
  const uintptr_t fp = cursor->fp;
  if (fp == 0) return Step::kEnd;
  if (fp % kWord != 0 || fp < cursor->sp || fp - cursor->sp > kLargestFrame) return Step::kLost;
  const bool same_page = ((fp + 2 * kWord - 1) & kPageMask) == (cursor->sp & kPageMask);
  uintptr_t caller_fp;
  uintptr_t pc;
  if (same_page) {
    if (!memory->Read(fp, &caller_fp) || !memory->Read(fp + kWord, &pc)) return Step::kLost;
  } else if (!memory->ReadProbed(fp, &caller_fp) || !memory->ReadProbed(fp + kWord, &pc)) {
    return Step::kLost;
  }
  return Return(pc, fp + 2 * kWord, caller_fp, cursor);
}

Step StepOverSignal(StackMemory* memory, Cursor* cursor) {
  uintptr_t pc;
  uintptr_t sp;
  uintptr_t fp;
  uintptr_t lr = 0;
  const uintptr_t frame = cursor->sp;
  if (!memory->Read(frame + arch::kSignalOffset[arch::kPc], &pc) ||
      !memory->Read(frame + arch::kSignalOffset[arch::kSp], &sp) ||
      !memory->Read(frame + arch::kSignalOffset[arch::kFp], &fp)) {
    return Step::kLost;
  }
  if constexpr (arch::kLinkRegister >= 0) {
    if (!memory->Read(frame + arch::kSignalOffset[arch::kLinkRegister], &lr)) return Step::kLost;
  }
  *cursor = {pc, sp, fp, lr, true};
  return Step::kCaller;
}

}  // namespace

Step StepBySpecialRule(CompactRule rule, StackMemory* memory, Cursor* cursor) {
  switch (rule.kind) {
    case StepKind::kEnd:
      return Step::kEnd;
    case StepKind::kSignal:
      return StepOverSignal(memory, cursor);
    case StepKind::kFpIndirect:
      return StepIndirect(rule, memory, cursor);
    case StepKind::kFramePointer:
      return StepByFramePointer(memory, cursor);
    default:
      return Step::kLost;
  }
}

}  // namespace memtrace::unwind
