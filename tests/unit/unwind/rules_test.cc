#include "libmemtrace/unwind/rules.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "libmemtrace/unwind/dwarf.h"

namespace memtrace::unwind {
namespace {

TEST(UnwindRules, SurviveTheCache) {
  const CompactRule rule(StepKind::kFp, -32768, 32767, CompactRule::kAboveFp);
  const CompactRule there = rule.InModule(0xfffe);
  EXPECT_EQ(there.kind(), StepKind::kFp);
  EXPECT_EQ(there.module(), 0xfffe);
  EXPECT_EQ(there.cfa_bytes(), uint64_t{0} - 32768 * 8);
  EXPECT_EQ(there.fp_bytes(), 32767u * 8);
  RuleCache::Insert(0x1234567, there);
  EXPECT_EQ(RuleCache::Find(0x1234567).word(), there.word());
  EXPECT_EQ(RuleCache::Find(0x1234567 + (1u << 28)).kind(), StepKind::kNone);
  RuleCache::Erase(0x1234567);
  EXPECT_EQ(RuleCache::Find(0x1234567).kind(), StepKind::kNone);
  EXPECT_EQ(RuleCache::Find(0).kind(), StepKind::kNone) << "empty entries match no key";
}

TEST(UnwindRules, ModulesAreErasedTogether) {
  for (uintptr_t key = 1; key <= 100; ++key)
    RuleCache::Insert(key * 4096, CompactRule(StepKind::kSp, 2).InModule(key % 2));
  RuleCache::EraseModules([](uint16_t module) { return module == 1; });
  for (uintptr_t key = 1; key <= 100; ++key) {
    EXPECT_EQ(RuleCache::Find(key * 4096).kind(), key % 2 == 1 ? StepKind::kNone : StepKind::kSp) << key;
  }
}

TEST(UnwindRules, TheNewestTwoOfASetStay) {
  // Keys that differ in no bit of the index.
  const uintptr_t keys[] = {0x1000, 0x1000 + (uintptr_t{1} << 40), 0x1000 + (uintptr_t{1} << 41)};
  for (const uintptr_t key : keys) RuleCache::Insert(key, CompactRule(StepKind::kSp, 1));
  EXPECT_EQ(RuleCache::Find(keys[0]).kind(), StepKind::kNone);
  EXPECT_EQ(RuleCache::Find(keys[1]).kind(), StepKind::kSp);
  EXPECT_EQ(RuleCache::Find(keys[2]).kind(), StepKind::kSp);
}

Row RowOf(uint16_t cfa_register, int64_t cfa_bytes) {
  Row row;
  row.cfa = Rule(RuleKind::kOffset, static_cast<uint64_t>(cfa_bytes));
  row.cfa_register = cfa_register;
  row.columns[arch::kRaIndex] = Rule(RuleKind::kOffset, static_cast<uint64_t>(int64_t{-8}));
  return row;
}

TEST(UnwindRules, SimpleRowsBecomeSimpleRules) {
  Row row = RowOf(arch::kSp, 48);
  row.columns[arch::kFpIndex] = Rule(RuleKind::kOffset, static_cast<uint64_t>(int64_t{-16}));
  const CompactRule by_sp = Compact(row, {}, 0);
  EXPECT_EQ(by_sp.kind(), StepKind::kSp);
  EXPECT_EQ(by_sp.cfa_bytes(), 48u);
  EXPECT_EQ(by_sp.fp_bytes(), 16u);
  EXPECT_EQ(by_sp.ra_bytes(), 8u);
  EXPECT_FALSE(by_sp.fp_unchanged());
  const CompactRule by_fp = Compact(RowOf(arch::kFp, 16), {}, 0);
  EXPECT_EQ(by_fp.kind(), StepKind::kFp);
  EXPECT_TRUE(by_fp.fp_unchanged());
}

TEST(UnwindRules, WhatDoesNotFitNeedsAllRegisters) {
  EXPECT_EQ(Compact(RowOf(arch::kSp, 44), {}, 0).kind(), StepKind::kFull) << "half a word";
  EXPECT_EQ(Compact(RowOf(arch::kSp, 8 << 20), {}, 0).kind(), StepKind::kFull) << "too large for 16 bits of words";
  EXPECT_EQ(Compact(RowOf(3, 16), {}, 0).kind(), StepKind::kFull) << "another register";
  Row signal = RowOf(arch::kSp, 16);
  signal.is_signal_frame = true;
  EXPECT_EQ(Compact(signal, {}, 0).kind(), StepKind::kFull);
  Row moved = RowOf(arch::kSp, 16);
  moved.columns[arch::kFpIndex] = Rule(RuleKind::kRegister, 3);
  EXPECT_EQ(Compact(moved, {}, 0).kind(), StepKind::kFull) << "the frame pointer is in another register";
  Row outermost = RowOf(arch::kSp, 16);
  outermost.columns[arch::kRaIndex] = Rule(RuleKind::kUndefined, 0);
  EXPECT_EQ(Compact(outermost, {}, 0).kind(), StepKind::kEnd);
}

CompactRule CompactExpression(const std::vector<uint8_t>& cfa, const std::vector<uint8_t>& fp, uintptr_t pc) {
  std::vector<uint8_t> bytes = {static_cast<uint8_t>(cfa.size())};
  bytes.insert(bytes.end(), cfa.begin(), cfa.end());
  const size_t fp_at = bytes.size();
  bytes.push_back(static_cast<uint8_t>(fp.size()));
  bytes.insert(bytes.end(), fp.begin(), fp.end());
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  CfiTables tables;
  tables.entries_range = {begin, begin + bytes.size()};
  Row row = RowOf(arch::kSp, 0);
  row.cfa = Rule(RuleKind::kExpression, begin);
  if (!fp.empty()) row.columns[arch::kFpIndex] = Rule(RuleKind::kExpression, begin + fp_at);
  return Compact(row, tables, pc);
}

TEST(UnwindRules, ExpressionsOfCompilersAndLinkersAreSeenThrough) {
  using namespace dwarf;
  // GCC's realigned stacks: CFA = *(fp - 16), fp saved at fp.
  const CompactRule realigned = CompactExpression({kOpBreg0 + arch::kFp, 0x70, kOpDeref}, {kOpBreg0 + arch::kFp, 0}, 0);
  EXPECT_EQ(realigned.kind(), StepKind::kFpIndirect);
  EXPECT_EQ(realigned.cfa_bytes(), ~uint64_t{15});
  // The linker's stubs: sp + 8, and 8 more from the 11th byte of a stub on.
  const std::vector<uint8_t> stub = {kOpBreg0 + arch::kSp,
                                     8,
                                     static_cast<uint8_t>(kOpLit0 + 11),
                                     kOpBregx,
                                     arch::kPc,
                                     0,
                                     kOpLit0 + 15,
                                     kOpAnd,
                                     kOpLe,
                                     kOpLit0 + 3,
                                     kOpShl,
                                     kOpPlus};
  for (const auto& [pc, bytes] : {std::pair<uintptr_t, uint64_t>{0x1000, 8}, {0x100a, 8}, {0x100b, 16}}) {
    const CompactRule rule = CompactExpression(stub, {}, pc);
    EXPECT_EQ(rule.kind(), StepKind::kSp);
    EXPECT_EQ(rule.cfa_bytes(), bytes) << pc;
  }
  EXPECT_EQ(CompactExpression({kOpBreg0 + arch::kSp, 0, kOpDup, kOpPlus}, {}, 0).kind(), StepKind::kFull) << "twice sp";
}

}  // namespace
}  // namespace memtrace::unwind
