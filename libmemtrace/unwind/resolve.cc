#include "libmemtrace/unwind/resolve.h"

#include "libmemtrace/rt/os.h"
#include "libmemtrace/unwind/modules.h"

namespace memtrace::unwind {
namespace {

// The handler returns to the first byte of the restorer, which is one beyond the pc to look up; a signal
// that interrupts the restorer itself leaves its exact address.
bool IsInTrampoline(uintptr_t pc) {
  for (const uintptr_t code : {pc + 1, pc}) {
    if (!rt::IsReadable(code) || !rt::IsReadable(code + arch::kTrampolineBytes - 1)) continue;
    if (arch::IsSignalTrampoline(reinterpret_cast<const uint8_t*>(code))) return true;
  }
  return false;
}

CompactRule RuleOf(const CfiTables& tables, uintptr_t pc) {
  Row row;
  if (IsInTrampoline(pc)) return CompactRule(StepKind::kSignal);
  return FindRow(tables, pc, &row) ? Compact(row, tables, pc) : CompactRule(StepKind::kFramePointer);
}

}  // namespace

[[gnu::noinline]] CompactRule Resolve(uintptr_t pc) {
  uint16_t module;
  const Code code = FindCode(pc, &module);
  if (code == Code::kNone) return CompactRule();
  const CompactRule rule =
      RuleOf(code == Code::kModule ? ModuleAt(module).tables : CfiTables(), pc).InModule(module);
  RuleCache::Insert(pc + 1, rule);
  // Pairs with ForgetUnloadedModules, which closes first and erases then.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (code == Code::kModule && ModuleAt(module).closed.load(std::memory_order_relaxed)) RuleCache::Erase(pc + 1);
  return rule;
}

}  // namespace memtrace::unwind
