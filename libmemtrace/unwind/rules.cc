#include "libmemtrace/unwind/rules.h"

#include "libmemtrace/unwind/dwarf.h"
#include "libmemtrace/unwind/expression.h"

namespace memtrace::unwind {
namespace {

constexpr int64_t kWord = 8;

bool ToWords(int64_t bytes, int16_t* words) {
  *words = static_cast<int16_t>(bytes / kWord);
  return *words * kWord == bytes && *words != CompactRule::kFpUnchanged;
}

// The expression is one register plus a constant, and then `dereferences`.
bool IsRegisterOffset(MemoryRange range, Rule rule, int dwarf_register, bool dereferences, int64_t* offset) {
  ByteReader reader({}, 0);
  if (!OpenExpression(range, static_cast<uintptr_t>(rule.value()), &reader)) return false;
  if (reader.Read<uint8_t>() != dwarf::kOpBreg0 + dwarf_register) return false;
  *offset = reader.Sleb();
  if (dereferences && reader.Read<uint8_t>() != dwarf::kOpDeref) return false;
  return reader.ok() && reader.AtEnd();
}

// At a fixed pc the expression may come down to sp + n: PLT stubs test low bits of the pc. It does if
// it gives the same n for two values of sp that have no low bits in common.
bool IsSpOffset(MemoryRange range, Rule rule, uintptr_t pc, int64_t* offset) {
  ByteReader reader({}, 0);
  if (!OpenExpression(range, static_cast<uintptr_t>(rule.value()), &reader)) return false;
  constexpr uint64_t kStacks[] = {0x7f0000ffff00, 0x7e00ff0000f8};
  uint64_t results[2] = {};
  for (int i = 0; i < 2; ++i) {
    RegisterFile registers;
    registers.Set(arch::kSp, kStacks[i]);
    registers.Set(arch::kPc, pc);
    if (!Evaluate(reader, registers, nullptr, nullptr, &results[i])) return false;
  }
  *offset = static_cast<int64_t>(results[0] - kStacks[0]);
  return results[0] - kStacks[0] == results[1] - kStacks[1];
}

bool CompactCfa(const Row& row, const CfiTables& tables, uintptr_t pc, CompactRule* rule) {
  int64_t offset = row.cfa.value();
  if (row.cfa.kind() == RuleKind::kOffset && row.cfa_register == arch::kSp) {
    rule->kind = StepKind::kSp;
  } else if (row.cfa.kind() == RuleKind::kOffset && row.cfa_register == arch::kFp) {
    rule->kind = StepKind::kFp;
  } else if (row.cfa.kind() != RuleKind::kExpression) {
    return false;
  } else if (IsRegisterOffset(tables.entries_range, row.cfa, arch::kFp, true, &offset)) {
    rule->kind = StepKind::kFpIndirect;
  } else if (IsSpOffset(tables.entries_range, row.cfa, pc, &offset)) {
    rule->kind = StepKind::kSp;
  } else {
    return false;
  }
  return ToWords(offset, &rule->cfa_words);
}

bool CompactFp(const Rule& fp, const CfiTables& tables, CompactRule* rule) {
  const bool indirect = rule->kind == StepKind::kFpIndirect;
  if (fp.kind() == RuleKind::kUnspecified || fp.kind() == RuleKind::kSame) return !indirect;
  int64_t offset = -fp.value();
  if (indirect && fp.kind() == RuleKind::kExpression) {
    if (!IsRegisterOffset(tables.entries_range, fp, arch::kFp, false, &offset)) return false;
  } else if (indirect || fp.kind() != RuleKind::kOffset) {
    return false;
  }
  return ToWords(offset, &rule->fp_words);
}

bool CompactReturnAddress(const Rule& ra, CompactRule* rule) {
  if (arch::kReturnAddressIsPushed) {
    return ra.kind() == RuleKind::kOffset && ra.value() == arch::kPushedReturnAddress;
  }
  if (ra.kind() == RuleKind::kUnspecified || ra.kind() == RuleKind::kSame) return true;  // in the link register
  int16_t words;
  if (ra.kind() != RuleKind::kOffset || !ToWords(-ra.value(), &words) || words <= 0) return false;
  const bool is_above_fp = words == rule->fp_words - 1 && rule->kind != StepKind::kFpIndirect;
  rule->ra_words = is_above_fp ? CompactRule::kAboveFp : static_cast<uint8_t>(words);
  return is_above_fp || words < CompactRule::kAboveFp;
}

}  // namespace

constinit RuleCache::Set RuleCache::sets_[1 << kIndexBits] = {};

CompactRule Compact(const Row& row, const CfiTables& tables, uintptr_t pc) {
  CompactRule rule;
  rule.kind = StepKind::kFull;
  const Rule& ra = row.columns[arch::kRaIndex];
  if (ra.kind() == RuleKind::kUndefined) {
    rule.kind = StepKind::kEnd;
    return rule;
  }
  CompactRule small;
  if (row.is_signal_frame || !CompactCfa(row, tables, pc, &small) ||
      !CompactFp(row.columns[arch::kFpIndex], tables, &small) || !CompactReturnAddress(ra, &small)) {
    return rule;
  }
  return small;
}

void RuleCache::Clear(Entry* entry) {
  entry->check.store(0, std::memory_order_relaxed);
  entry->value.store(0, std::memory_order_relaxed);
}

void RuleCache::Insert(uintptr_t pc, CompactRule rule) {
  // The newer entry takes the first place, what was there the second.
  Set& set = sets_[Index(pc)];
  set.entries[1].value.store(set.entries[0].value.load(std::memory_order_relaxed), std::memory_order_relaxed);
  set.entries[1].check.store(set.entries[0].check.load(std::memory_order_relaxed), std::memory_order_relaxed);
  const auto value = std::bit_cast<uint64_t>(rule);
  set.entries[0].value.store(value, std::memory_order_relaxed);
  set.entries[0].check.store(pc ^ Mix(value), std::memory_order_relaxed);
}

void RuleCache::Erase(uintptr_t pc) {
  for (Entry& entry : sets_[Index(pc)].entries) {
    const uint64_t value = entry.value.load(std::memory_order_relaxed);
    if ((entry.check.load(std::memory_order_relaxed) ^ Mix(value)) == pc) Clear(&entry);
  }
}

void RuleCache::EraseModules(bool (*is_gone)(uint16_t module)) {
  for (Set& set : sets_) {
    for (Entry& entry : set.entries) {
      const auto rule = std::bit_cast<CompactRule>(entry.value.load(std::memory_order_relaxed));
      if (rule.kind != StepKind::kNone && is_gone(rule.module)) Clear(&entry);
    }
  }
}

}  // namespace memtrace::unwind
