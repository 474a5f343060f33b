#include "libmemtrace/unwind/expression.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "libmemtrace/unwind/dwarf.h"
#include "tests/unit/unwind/fenced.h"

namespace memtrace::unwind {
namespace {

struct ExpressionCase {
  std::vector<uint8_t> operations;
  uint64_t result;
};

TEST(UnwindExpression, Evaluates) {
  using namespace dwarf;
  const std::vector<ExpressionCase> cases = {
      {{kOpLit0 + 7, kOpLit0 + 3, kOpMinus}, 4},
      {{kOpConst1s, 0xff, kOpNeg}, 1},
      {{kOpConst2u, 0x34, 0x12, kOpNot}, ~uint64_t{0x1234}},
      {{kOpConst4s, 0xfe, 0xff, 0xff, 0xff, kOpAbs}, 2},
      {{kOpConstu, 0x80, 0x01, kOpPlusUconst, 2}, 130},
      {{kOpConsts, 0x7f, kOpLit0 + 1, kOpShr}, INT64_MAX},
      {{kOpConsts, 0x7e, kOpLit0 + 1, kOpShra}, ~uint64_t{0}},
      {{kOpLit0 + 1, kOpLit0 + 2, kOpLit0 + 3, kOpRot}, 2},
      {{kOpLit0 + 1, kOpLit0 + 2, kOpOver, kOpPlus, kOpMul}, 3},
      {{kOpLit0 + 9, kOpLit0 + 2, kOpSwap, kOpDrop}, 2},
      {{kOpLit0 + 9, kOpLit0 + 2, kOpPick, 1, kOpMod}, 2},
      {{kOpLit0 + 20, kOpLit0 + 3, kOpDiv, kOpDup, kOpXor}, 0},
      {{kOpLit0 + 1, kOpBra, 1, 0, kOpLit0, kOpLit0 + 5}, 5},
      {{kOpSkip, 1, 0, kOpLit0 + 3, kOpLit0 + 4}, 4},
      {{kOpBreg0 + 3, 0x78, kOpLit0 + 8, kOpGe}, 1},
      {{kOpBregx, 3, 5}, 105},
  };
  RegisterFile registers;
  registers.Set(3, 100);
  for (const ExpressionCase& test : cases) {
    std::vector<uint8_t> bytes = test.operations;
    bytes.insert(bytes.begin(), static_cast<uint8_t>(bytes.size()));
    const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
    ByteReader reader({}, 0);
    uint64_t result = 0;
    ASSERT_TRUE(OpenExpression({begin, begin + bytes.size()}, begin, &reader));
    EXPECT_TRUE(Evaluate(reader, registers, nullptr, nullptr, &result)) << int{bytes[1]};
    EXPECT_EQ(result, test.result) << int{bytes[1]};
  }
}

TEST(UnwindExpression, RefusesWhatIsBroken) {
  using namespace dwarf;
  const std::vector<std::vector<uint8_t>> cases = {
      {kOpPlus},
      {kOpLit0, kOpLit0, kOpDiv},
      {kOpLit0, kOpLit0, kOpMod},
      {kOpSkip, 0xfd, 0xff},  // to itself
      {kOpSkip, 0x7f, 0x00},
      {kOpLit0, kOpDeref},
      {kOpBreg0 + 4, 0},  // not known
      {0xe0},
      std::vector<uint8_t>(100, kOpLit0),
  };
  RegisterFile registers;
  for (std::vector<uint8_t> bytes : cases) {
    bytes.insert(bytes.begin(), static_cast<uint8_t>(bytes.size()));
    const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
    ByteReader reader({}, 0);
    uint64_t result = 0;
    ASSERT_TRUE(OpenExpression({begin, begin + bytes.size()}, begin, &reader));
    EXPECT_FALSE(Evaluate(reader, registers, nullptr, nullptr, &result)) << int{bytes[1]};
  }
}

// `operations` with `words` as the only memory there is; false where it cannot be evaluated.
bool EvaluateOn(const std::vector<uint64_t>& words, std::vector<uint8_t> operations, const uint64_t* initial,
                uint64_t* result) {
  const auto low = reinterpret_cast<uintptr_t>(words.data());
  StackMemory memory(StackLimits{low, low + words.size() * sizeof(uint64_t)});
  RegisterFile registers;
  registers.Set(3, low);
  const auto begin = reinterpret_cast<uintptr_t>(operations.data());
  return Evaluate(ByteReader({begin, begin + operations.size()}, begin), registers, &memory, initial, result);
}

TEST(UnwindExpression, Dereferences) {
  using namespace dwarf;
  const std::vector<uint64_t> words = {0x1122334455667788, 42};
  uint64_t result = 0;
  ASSERT_TRUE(EvaluateOn(words, {kOpBreg0 + 3, 8, kOpDeref}, nullptr, &result));
  EXPECT_EQ(result, 42u);
  ASSERT_TRUE(EvaluateOn(words, {kOpBreg0 + 3, 0, kOpDerefSize, 2}, nullptr, &result));
  EXPECT_EQ(result, 0x7788u);
  EXPECT_FALSE(EvaluateOn(words, {kOpBreg0 + 3, 0, kOpDerefSize, 9}, nullptr, &result));
  EXPECT_FALSE(EvaluateOn(words, {kOpBreg0 + 3, 0, kOpDerefSize, 0}, nullptr, &result));
  EXPECT_FALSE(EvaluateOn(words, {kOpLit0 + 8, kOpDeref}, nullptr, &result)) << "nothing is mapped at 8";
}

TEST(UnwindExpression, StartsWithTheCfaWhereItIsGiven) {
  using namespace dwarf;
  const uint64_t cfa = 1000;
  uint64_t result = 0;
  ASSERT_TRUE(EvaluateOn({0}, {kOpLit0 + 16, kOpMinus}, &cfa, &result));
  EXPECT_EQ(result, 984u);
  ASSERT_TRUE(EvaluateOn({0}, {}, &cfa, &result)) << "nothing to do";
  EXPECT_EQ(result, cfa);
  EXPECT_FALSE(EvaluateOn({0}, {}, nullptr, &result)) << "nothing on the stack";
}

TEST(UnwindExpression, EndlessOnesAreGivenUp) {
  using namespace dwarf;
  uint64_t result = 0;
  // A round of the loop takes 4 operations of the 256: 60 rounds end in time, 70 do not.
  for (const uint8_t rounds : {uint8_t{60}, uint8_t{70}}) {
    const bool ends =
        EvaluateOn({0}, {kOpConst1u, rounds, kOpLit0 + 1, kOpMinus, kOpDup, kOpBra, 0xfa, 0xff}, nullptr, &result);
    EXPECT_EQ(ends, rounds == 60) << int{rounds};
  }
}

TEST(UnwindExpression, LengthsThatLeaveTheRangeAreRefused) {
  const uint8_t bytes[] = {2, dwarf::kOpLit0, dwarf::kOpLit0, 0};
  const auto begin = reinterpret_cast<uintptr_t>(bytes);
  ByteReader reader({}, 0);
  EXPECT_TRUE(OpenExpression({begin, begin + 3}, begin, &reader));
  EXPECT_FALSE(OpenExpression({begin, begin + 2}, begin, &reader));
  EXPECT_FALSE(OpenExpression({begin, begin + 4}, begin + 3, &reader)) << "empty";
  EXPECT_FALSE(OpenExpression({begin, begin + 3}, begin - 1, &reader));
}

TEST(UnwindExpression, JunkNeitherCrashNorHang) {
  const Fenced memory(64);
  std::mt19937_64 random(7);
  RegisterFile registers;
  for (int i = 0; i < arch::kRegisters; ++i) registers.Set(i, random());
  StackMemory stack(StackLimits{16, 16});
  int good = 0;
  for (int round = 0; round < 200000; ++round) {
    for (int i = 0; i < 64; ++i) memory.data()[i] = static_cast<char>(random());
    memory.data()[0] = static_cast<char>(random() % 64);
    ByteReader reader({}, 0);
    uint64_t result;
    if (!OpenExpression({memory.address(), memory.address() + 64}, memory.address(), &reader)) continue;
    good += Evaluate(reader, registers, &stack, nullptr, &result) ? 1 : 0;
  }
  EXPECT_GT(good, 100);
}

}  // namespace
}  // namespace memtrace::unwind
