#include "libmemtrace/unwind/step.h"

#include "libmemtrace/format/tables.h"

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

// A frame that the unwind tables describe. `fp_base` is what the saved frame pointer is relative to.
Step StepToCfa(CompactRule rule, uintptr_t cfa, uintptr_t fp_base, StackMemory* memory, Cursor* cursor) {
  const uintptr_t ra_bytes = rule.ra_bytes();
  uintptr_t fp = cursor->fp;
  uintptr_t pc = cursor->lr;
  if (ra_bytes != 0) {
    if (cfa <= cursor->sp || !memory->Read(cfa - ra_bytes, &pc)) return Step::kLost;
  } else if (cfa < cursor->sp || pc == 0) {
    return Step::kLost;  // only what a signal interrupted can be a frameless leaf
  }
  if (!rule.fp_unchanged() && !memory->Read(fp_base - rule.fp_bytes(), &fp)) return Step::kLost;
  return Return(pc, cfa, fp, cursor);
}

// In functions that realign their stack the CFA is kept in memory below the frame pointer.
Step StepIndirect(CompactRule rule, StackMemory* memory, Cursor* cursor) {
  uintptr_t cfa;
  if (!memory->Read(cursor->fp + rule.cfa_bytes(), &cfa)) return Step::kLost;
  return StepToCfa(rule, cfa, cursor->fp, memory, cursor);
}

// Nothing vouches for the frame pointer here, so beyond the page that sp is in every read is probed. What
// it finds as return address must turn out to be code in the next step. Zero marks the outermost frame
// (x86-64 psABI 3.4.1, AAPCS64 6.4.6), but also goes through a libc without unwind tables, as musl is,
// up to callbacks: in a module only the end of the stack makes it one.
Step StepByFramePointer(CompactRule rule, StackMemory* memory, Cursor* cursor) {
  const uintptr_t fp = cursor->fp;
  const bool is_jit = rule.module() == format::kNoModule;
  if (fp % kWord != 0 || fp < cursor->sp || fp - cursor->sp > kLargestFrame) {
    return IsStackBase(cursor->sp) || (is_jit && fp == 0) ? Step::kEnd : Step::kLost;
  }
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

Step StepByRule(CompactRule rule, StackMemory* memory, Cursor* cursor) {
  const uintptr_t sp_cfa = cursor->sp + rule.cfa_bytes();
  const uintptr_t fp_cfa = cursor->fp + rule.cfa_bytes();
  switch (rule.kind()) {
    case StepKind::kSp:
      return StepToCfa(rule, sp_cfa, sp_cfa, memory, cursor);
    case StepKind::kFp:
      return StepToCfa(rule, fp_cfa, fp_cfa, memory, cursor);
    case StepKind::kFpIndirect:
      return StepIndirect(rule, memory, cursor);
    case StepKind::kFramePointer:
      return StepByFramePointer(rule, memory, cursor);
    case StepKind::kSignal:
      return StepOverSignal(memory, cursor);
    case StepKind::kEnd:
      return Step::kEnd;
    case StepKind::kFull:
    case StepKind::kNone:
      return Step::kLost;
  }
  return Step::kLost;
}

}  // namespace memtrace::unwind
