#include "libmemtrace/unwind/step.h"

#include <gtest/gtest.h>

#include "libmemtrace/format/tables.h"

namespace memtrace::unwind {
namespace {

// A stack of 64 words that grows downwards, in the middle of memory that is known to be readable.
class UnwindStep : public ::testing::Test {
 protected:
  uintptr_t At(int word) const { return reinterpret_cast<uintptr_t>(&words_[word]); }
  StackLimits Limits() const { return {At(0), At(64)}; }
  Step Go(CompactRule rule, Cursor* cursor) {
    StackMemory memory(Limits());
    return StepByRule(rule, &memory, cursor);
  }

  uintptr_t words_[64] = {};
};

constexpr uintptr_t kCode = 0x401000;

TEST_F(UnwindStep, BySp) {
  words_[19] = kCode;
  words_[18] = 0xf00d;
  Cursor cursor{1, At(10), 5, 0, true};
  ASSERT_EQ(Go(CompactRule(StepKind::kSp, 10, 2), &cursor), Step::kCaller);
  EXPECT_EQ(cursor.pc, kCode);
  EXPECT_EQ(cursor.sp, At(20));
  EXPECT_EQ(cursor.fp, 0xf00du);
  EXPECT_FALSE(cursor.is_exact);
  EXPECT_EQ(cursor.LookupPc(), kCode - 1);
}

TEST_F(UnwindStep, ByFpThatStays) {
  words_[31] = kCode;
  Cursor cursor{1, At(10), At(30), 0, false};
  ASSERT_EQ(Go(CompactRule(StepKind::kFp, 2), &cursor), Step::kCaller);
  EXPECT_EQ(cursor.sp, At(32));
  EXPECT_EQ(cursor.fp, At(30));
}

TEST_F(UnwindStep, ByAFrameAddressInMemory) {
  words_[28] = At(40);  // two words below the frame pointer
  words_[39] = kCode;
  words_[30] = 0xbeef;  // the caller's, where the frame pointer points
  Cursor cursor{1, At(10), At(30), 0, false};
  ASSERT_EQ(Go(CompactRule(StepKind::kFpIndirect, -2, 0), &cursor), Step::kCaller);
  EXPECT_EQ(cursor.pc, kCode);
  EXPECT_EQ(cursor.sp, At(40));
  EXPECT_EQ(cursor.fp, 0xbeefu);
}

TEST_F(UnwindStep, ByTheFramePointerAlone) {
  words_[30] = At(50);
  words_[31] = kCode;
  Cursor cursor{1, At(10), At(30), 0, false};
  ASSERT_EQ(Go(CompactRule(StepKind::kFramePointer).InModule(format::kNoModule), &cursor), Step::kCaller);
  EXPECT_EQ(cursor.pc, kCode);
  EXPECT_EQ(cursor.sp, At(32));
  EXPECT_EQ(cursor.fp, At(50));
}

TEST_F(UnwindStep, FramePointersThatAreNoneAreNotFollowed) {
  const CompactRule rule(StepKind::kFramePointer);
  for (const uintptr_t fp : {At(30) + 4, At(5), At(10) + (uintptr_t{1} << 30), ~uintptr_t{7}}) {
    Cursor cursor{1, At(10), fp, 0, false};
    EXPECT_EQ(Go(rule.InModule(0), &cursor), Step::kLost) << fp;
  }
  Cursor cursor{1, At(10), 0, 0, false};
  EXPECT_EQ(Go(rule.InModule(format::kNoModule), &cursor), Step::kEnd) << "where compiled code began";
  EXPECT_EQ(Go(rule.InModule(0), &cursor), Step::kLost);
}

TEST_F(UnwindStep, OverASignal) {
  words_[20] = 0;
  const auto set = [this](int reg, uintptr_t value) { words_[20 + arch::kSignalOffset[reg] / 8] = value; };
  if (arch::kSignalOffset[arch::kPc] / 8 >= 40) GTEST_SKIP() << "the frame is larger than this stack";
  set(arch::kPc, kCode);
  set(arch::kSp, At(60));
  set(arch::kFp, At(62));
  Cursor cursor{1, At(20), 0, 0, false};
  ASSERT_EQ(Go(CompactRule(StepKind::kSignal), &cursor), Step::kCaller);
  EXPECT_EQ(cursor.sp, At(60));
  EXPECT_EQ(cursor.fp, At(62));
  EXPECT_TRUE(cursor.is_exact);
  EXPECT_EQ(cursor.LookupPc(), kCode) << "not one less";
}

TEST_F(UnwindStep, EndsAndDeadEnds) {
  Cursor cursor{1, At(10), At(30), 0, false};
  EXPECT_EQ(Go(CompactRule(StepKind::kEnd), &cursor), Step::kEnd);
  EXPECT_EQ(Go(CompactRule(StepKind::kFull), &cursor), Step::kLost);
  EXPECT_EQ(Go(CompactRule(), &cursor), Step::kLost);
  EXPECT_EQ(Go(CompactRule(StepKind::kSp, 10), &cursor), Step::kEnd) << "a return address of 0";
  EXPECT_EQ(Go(CompactRule(StepKind::kSp, -2), &cursor), Step::kLost) << "downwards";
  EXPECT_EQ(cursor.sp, At(10)) << "where it was";
  Cursor wild{1, 64, 64, 0, false};
  EXPECT_EQ(Go(CompactRule(StepKind::kSp, 1), &wild), Step::kLost) << "nothing is mapped there";
}

TEST_F(UnwindStep, ALeafReturnsToItsLinkRegister) {
  if (arch::kReturnAddressIsPushed) GTEST_SKIP() << "none on this architecture";
  const CompactRule leaf(StepKind::kSp, 0, CompactRule::kFpUnchanged, CompactRule::kLinkRegister);
  Cursor interrupted{1, At(10), At(30), kCode, true};
  EXPECT_EQ(Go(leaf, &interrupted), Step::kCaller);
  EXPECT_EQ(interrupted.pc, kCode);
  EXPECT_EQ(interrupted.sp, At(10));
  Cursor called{1, At(10), At(30), 0, false};
  EXPECT_EQ(Go(leaf, &called), Step::kLost);
}

TEST_F(UnwindStep, TheSimpleStepAgrees) {
  words_[19] = kCode;
  words_[18] = 0xf00d;
  constexpr uintptr_t kPc = 0x7000123;
  RuleCache::Insert(kPc, CompactRule(StepKind::kSp, 10, 2));
  const Cursor start{kPc, At(10), 5, 0, false};
  SimpleStep step(Limits(), start);
  ASSERT_TRUE(step.Read());
  step.GoToCaller();
  Cursor cursor = start;
  step.Leave(&cursor);
  Cursor expected = start;
  ASSERT_EQ(Go(CompactRule(StepKind::kSp, 10, 2), &expected), Step::kCaller);
  EXPECT_EQ(cursor.pc, expected.pc);
  EXPECT_EQ(cursor.sp, expected.sp);
  EXPECT_EQ(cursor.fp, expected.fp);
  EXPECT_FALSE(step.Read()) << "no rule is known of the caller";
}

TEST_F(UnwindStep, TheSimpleStepStaysWithinItsLimits) {
  constexpr uintptr_t kPc = 0x7000457;
  RuleCache::Insert(kPc, CompactRule(StepKind::kSp, 10, 2));
  words_[19] = words_[18] = kCode;
  const Cursor start{kPc, At(10), 5, 0, false};
  EXPECT_TRUE(SimpleStep(Limits(), start).Read());
  EXPECT_FALSE(SimpleStep({At(0), At(19) + 7}, start).Read()) << "half of the return address";
  EXPECT_FALSE(SimpleStep({At(19), At(64)}, start).Read()) << "the saved frame pointer lies below";
  EXPECT_FALSE(SimpleStep({At(10), At(10)}, start).Read());
  words_[19] = 0;
  EXPECT_FALSE(SimpleStep(Limits(), start).Read()) << "the end is left to the other";
  RuleCache::Insert(kPc, CompactRule(StepKind::kFull));
  EXPECT_FALSE(SimpleStep(Limits(), start).Read());
}

}  // namespace
}  // namespace memtrace::unwind
