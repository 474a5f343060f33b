#include "libmemtrace/unwind/rules.h"

#include "libmemtrace/unwind/dwarf.h"
#include "libmemtrace/unwind/expression.h"

namespace memtrace::unwind {
namespace {

constexpr int64_t kWord = 8;

bool ToWords(int64_t bytes, int16_t* words) {
  *words = static_cast<int16_t>(bytes / kWord);
  return *words * kWord == bytes;
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

bool CompactCfa(const Row& row, const CfiTables& tables, uintptr_t pc, StepKind* kind, int16_t* words) {
  int64_t offset = row.cfa.value();
  if (row.cfa.kind() == RuleKind::kOffset && row.cfa_register == arch::kSp) {
    *kind = StepKind::kSp;
  } else if (row.cfa.kind() == RuleKind::kOffset && row.cfa_register == arch::kFp) {
    *kind = StepKind::kFp;
  } else if (row.cfa.kind() != RuleKind::kExpression) {
    return false;
  } else if (IsRegisterOffset(tables.entries_range, row.cfa, arch::kFp, true, &offset)) {
    *kind = StepKind::kFpIndirect;
  } else if (IsSpOffset(tables.entries_range, row.cfa, pc, &offset)) {
    *kind = StepKind::kSp;
  } else {
    return false;
  }
  return ToWords(offset, words);
}

bool CompactFp(const Rule& fp, const CfiTables& tables, bool is_indirect, int16_t* words) {
  *words = CompactRule::kFpUnchanged;
  if (fp.kind() == RuleKind::kUnspecified || fp.kind() == RuleKind::kSame) return !is_indirect;
  int64_t offset = fp.value();
  const bool known = is_indirect ? fp.kind() == RuleKind::kExpression &&
                                       IsRegisterOffset(tables.entries_range, fp, arch::kFp, false, &offset)
                                 : fp.kind() == RuleKind::kOffset;
  return known && ToWords(-offset, words) && *words != CompactRule::kFpUnchanged;
}

bool CompactReturnAddress(const Rule& ra, int16_t fp_words, bool is_indirect, uint8_t* words) {
  *words = CompactRule::kLinkRegister;
  if (arch::kReturnAddressIsPushed) return ra.kind() == RuleKind::kOffset && ra.value() == arch::kPushedReturnAddress;
  if (ra.kind() == RuleKind::kUnspecified || ra.kind() == RuleKind::kSame) return true;
  int16_t below;
  if (ra.kind() != RuleKind::kOffset || !ToWords(-ra.value(), &below) || below <= 0) return false;
  const bool is_above_fp = below == fp_words - 1 && fp_words != CompactRule::kFpUnchanged && !is_indirect;
  *words = is_above_fp ? CompactRule::kAboveFp : static_cast<uint8_t>(below);
  return is_above_fp || below < CompactRule::kAboveFp;
}

}  // namespace

constinit RuleCache::Set RuleCache::sets_[1 << kIndexBits] = {};

CompactRule Compact(const Row& row, const CfiTables& tables, uintptr_t pc) {
  const Rule& ra = row.columns[arch::kRaIndex];
  if (ra.kind() == RuleKind::kUndefined) return CompactRule(StepKind::kEnd);
  StepKind kind = StepKind::kFull;
  int16_t cfa_words;
  int16_t fp_words;
  uint8_t ra_words;
  const bool fits = !row.is_signal_frame && CompactCfa(row, tables, pc, &kind, &cfa_words) &&
                    CompactFp(row.columns[arch::kFpIndex], tables, kind == StepKind::kFpIndirect, &fp_words) &&
                    CompactReturnAddress(ra, fp_words, kind == StepKind::kFpIndirect, &ra_words);
  return fits ? CompactRule(kind, cfa_words, fp_words, ra_words) : CompactRule(StepKind::kFull);
}

void RuleCache::Clear(Entry* entry) {
  entry->check.store(0, std::memory_order_relaxed);
  entry->value.store(0, std::memory_order_relaxed);
}

void RuleCache::Insert(uintptr_t key, CompactRule rule) {
  // The newer entry takes the first place, what was there the second.
  Set& set = SetOf(key);
  set.entries[1].value.store(set.entries[0].value.load(std::memory_order_relaxed), std::memory_order_relaxed);
  set.entries[1].check.store(set.entries[0].check.load(std::memory_order_relaxed), std::memory_order_relaxed);
  const uint64_t value = rule.word();
  set.entries[0].value.store(value, std::memory_order_relaxed);
  set.entries[0].check.store(key ^ Mix(value), std::memory_order_relaxed);
}

void RuleCache::Erase(uintptr_t key) {
  for (Entry& entry : SetOf(key).entries) {
    const uint64_t value = entry.value.load(std::memory_order_relaxed);
    if ((entry.check.load(std::memory_order_relaxed) ^ Mix(value)) == key) Clear(&entry);
  }
}

void RuleCache::EraseModules(bool (*is_gone)(uint16_t module)) {
  for (Set& set : sets_) {
    for (Entry& entry : set.entries) {
      const CompactRule rule(entry.value.load(std::memory_order_relaxed));
      if (rule.kind() != StepKind::kNone && is_gone(rule.module())) Clear(&entry);
    }
  }
}

}  // namespace memtrace::unwind
