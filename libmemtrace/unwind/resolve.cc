#include "libmemtrace/unwind/resolve.h"

#include "libmemtrace/unwind/modules.h"

namespace memtrace::unwind {
namespace {

bool IsTrampolineAt(uintptr_t code) {
  constexpr uintptr_t kPageMask = ~uintptr_t{4095};
  const uintptr_t last = code + arch::kTrampolineBytes - 1;
  if (!rt::IsReadable(code) || (((code ^ last) & kPageMask) != 0 && !rt::IsReadable(last))) return false;
  return arch::IsSignalTrampoline(reinterpret_cast<const uint8_t*>(code));
}

// Whether `pc` is one of the four instructions of a stub, interrupted there.
bool IsInLinkageStub(uintptr_t pc) {
  if constexpr (arch::kLinkageStubBytes == 0) return false;
  for (uintptr_t begin = pc; begin + arch::kLinkageStubBytes > pc; begin -= 4) {
    const uintptr_t last = begin + arch::kLinkageStubBytes - 1;
    if (begin % 4 == 0 && rt::IsReadable(begin) && rt::IsReadable(last) &&
        arch::IsLinkageStub(reinterpret_cast<const uint8_t*>(begin))) {
      return true;
    }
  }
  return false;
}

// The handler returns to the first byte of the restorer, which is one beyond the pc to look up; a signal
// that interrupts the restorer itself leaves its exact address.
bool IsInTrampoline(uintptr_t pc) { return IsTrampolineAt(pc + 1) || IsTrampolineAt(pc); }

CompactRule RuleOf(const CfiTables& tables, uintptr_t pc) {
  Row row;
  if (IsInTrampoline(pc)) return CompactRule(StepKind::kSignal);
  if (FindRow(tables, pc, &row)) return Compact(row, tables, pc);
  if (IsInLinkageStub(pc)) return CompactRule(StepKind::kSp, 0, CompactRule::kFpUnchanged, CompactRule::kLinkRegister);
  // A return address at the very start of a function was not left by a call: makecontext and the like put
  // it below the first frame of a stack.
  return CompactRule(FindRow(tables, pc + 1, &row) ? StepKind::kEnd : StepKind::kFramePointer);
}

}  // namespace

[[gnu::noinline]] CompactRule Resolve(uintptr_t pc) {
  uint16_t module;
  Code code = FindCode(pc, &module);
  // A restorer may be the first thing in its mapping (under qemu-user it is).
  if (code == Code::kNone) code = FindCode(pc + 1, &module);
  if (code == Code::kNone) return CompactRule();
  const CompactRule rule = RuleOf(code == Code::kModule ? ModuleAt(module).tables : CfiTables(), pc).InModule(module);
  RuleCache::Insert(pc + 1, rule);
  // Pairs with ForgetUnloadedModules, which closes first and erases then.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (code == Code::kModule && ModuleAt(module).closed.load(std::memory_order_relaxed)) RuleCache::Erase(pc + 1);
  return rule;
}

}  // namespace memtrace::unwind
