// Incremental walks against full ones, over calls that come and go at random.
#include "libmemtrace/unwind/remembering.h"

#include <gtest/gtest.h>
#include <setjmp.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "libmemtrace/rt/random.h"
#include "libmemtrace/unwind/rules.h"

namespace memtrace::unwind {
namespace {

constexpr uint32_t kCapacity = 128;

class RememberingTest : public testing::Test {
 protected:
  RememberingTest() : memory_(RememberedStackBytes(kCapacity) / sizeof(uint64_t) + 1) { stack().capacity = kCapacity; }

  RememberedStack& stack() { return *reinterpret_cast<RememberedStack*>(memory_.data()); }

  // Walks from the caller in both ways. The frames that are kept must have the nodes that they were given.
  [[gnu::noinline]] void Compare() {
    const Registers start{reinterpret_cast<uintptr_t>(__builtin_return_address(0)),
                          reinterpret_cast<uintptr_t>(__builtin_dwarf_cfa()),
                          *static_cast<uintptr_t*>(__builtin_frame_address(0))};
    const StackLimits limits = CurrentStackLimits(start.sp, true);
    Frame frames[kCapacity];
    const Unwound full = Unwind(start, limits, frames, kCapacity);
    uint32_t kept = 0;
    ++walks_;
    if (!UnwindRemembering(start, limits, &stack(), &kept)) {
      ++refused_;
      return;
    }
    ASSERT_EQ(stack().count, full.frames);
    ASSERT_EQ(stack().truncated, full.truncated);
    uint32_t node = 0;
    for (uint32_t i = 0; i < stack().count; ++i) {
      const Frame& expected = frames[full.frames - 1 - i];
      ASSERT_EQ(stack().LookupPc(i), expected.pc) << i;
      ASSERT_EQ(stack().frames()[i].module, expected.module) << i;
      node = static_cast<uint32_t>(rt::Mix(node * 31 + expected.pc)) | 1;
      if (i < kept) {
        ASSERT_EQ(stack().frames()[i].node, node) << i;
      }
      stack().frames()[i].node = node;
    }
    kept_ += kept;
    frames_ += stack().count;
  }

  template <int kKind>
  [[gnu::noinline]] void Call(int depth) {
    if (HasFatalFailure()) return;
    volatile char* block = static_cast<volatile char*>(__builtin_alloca(rt::NextRandom(&random_) % 64 + 1));
    block[0] = kKind;
    for (uint64_t i = rt::NextRandom(&random_) % 3 + 1; i > 0; --i) {
      if (depth > 0) Next(depth - 1);
      Compare();
    }
  }
  void Next(int depth) {
    switch (rt::NextRandom(&random_) % 3) {
      case 0:
        return Call<0>(depth);
      case 1:
        return Call<1>(depth);
      default:
        return Call<2>(depth);
    }
  }
  // Functions with equal frames: an inner frame is often where it was, with other callers.
  template <int kKind>
  [[gnu::noinline]] void EqualFrames(int depth, uint64_t path) {
    if (HasFatalFailure()) return;
    if (depth == 0) {
      Compare();
    } else if ((path & 1) != 0) {
      EqualFrames<1 - kKind>(depth - 1, path >> 1);
    } else {
      EqualFrames<kKind>(depth - 1, path >> 1);
    }
    asm volatile("" ::: "memory");  // no tail calls
  }

  [[gnu::noinline]] void Leave(int depth, jmp_buf* where) {
    Compare();
    if (depth > 0) return Leave(depth - 1, where);
    if (where != nullptr) longjmp(*where, 1);
    throw std::runtime_error("left");
  }

  [[gnu::noinline]] void JumpOut(int depth) {
    jmp_buf where;
    if (setjmp(where) == 0) Leave(depth, &where);
  }

  std::vector<uint64_t> memory_;
  uint64_t random_ = 1;
  uint64_t walks_ = 0;
  uint64_t refused_ = 0;
  uint64_t kept_ = 0;
  uint64_t frames_ = 0;
};

// A return address that is no code ends the walk behind a frame that was left by a simple step.
TEST_F(RememberingTest, AStackThatEndsInNoCodeIsWalkedAnew) {
  constexpr uintptr_t kPc = 0x7000789;
  uintptr_t words[16] = {};
  words[5] = 0x1230;
  RuleCache::Insert(kPc, CompactRule(StepKind::kSp, 4));
  const Registers start{kPc, reinterpret_cast<uintptr_t>(&words[2]), 0};
  const StackLimits limits{reinterpret_cast<uintptr_t>(&words[0]), reinterpret_cast<uintptr_t>(&words[16])};
  for (int round = 0; round < 3; ++round) {
    EXPECT_FALSE(IsUnmoved(start, limits, &stack())) << round;
    uint32_t kept = 0;
    ASSERT_TRUE(UnwindRemembering(start, limits, &stack(), &kept));
    EXPECT_EQ(stack().count, 1u);
    EXPECT_TRUE(stack().truncated);
    EXPECT_EQ(kept, round == 0 ? 0u : 1u) << "the same place in the code";
  }
}

// Three frames on a stack of words: the inner two save the frame pointer below their return address.
class FramePointerTest : public RememberingTest {
 protected:
  static constexpr uintptr_t kInner = 0x7010123;
  static constexpr uintptr_t kMiddle = 0x7010456;
  static constexpr uintptr_t kOuter = 0x7010789;

  FramePointerTest() {
    RuleCache::Insert(kOuter, CompactRule(StepKind::kEnd));
    words_[0] = reinterpret_cast<uintptr_t>(&words_[2]);  // the frame pointer of the middle one, if it has any
    words_[1] = kMiddle;
    words_[3] = kOuter;
  }
  void Walk() {
    uint32_t kept = 0;
    ASSERT_TRUE(UnwindRemembering(start_, limits_, &stack(), &kept));
    ASSERT_EQ(stack().count, 3u);
    ASSERT_TRUE(IsUnmoved(start_, limits_, &stack()));
  }
  // Whether the stack passes for that of before with another value in `word`.
  bool IsUnmovedWithOther(uintptr_t* word) {
    const uintptr_t before = *word;
    *word += 8;
    const bool unmoved = IsUnmoved(start_, limits_, &stack());
    *word = before;
    return unmoved;
  }

  uintptr_t words_[16] = {};
  Registers start_{kInner, reinterpret_cast<uintptr_t>(&words_[0]), reinterpret_cast<uintptr_t>(&words_[2])};
  const StackLimits limits_{reinterpret_cast<uintptr_t>(&words_[0]), reinterpret_cast<uintptr_t>(&words_[16])};
};

TEST_F(FramePointerTest, WhereNobodyTakesItForOneItMayBeAnything) {
  RuleCache::Insert(kInner, CompactRule(StepKind::kSp, 2, 2));
  RuleCache::Insert(kMiddle, CompactRule(StepKind::kSp, 2, 2));
  Walk();
  EXPECT_TRUE(IsUnmovedWithOther(&start_.fp));
  EXPECT_TRUE(IsUnmovedWithOther(&words_[0]));
  EXPECT_TRUE(IsUnmovedWithOther(&words_[2]));
  EXPECT_FALSE(IsUnmovedWithOther(&words_[1]));
  EXPECT_FALSE(IsUnmovedWithOther(&words_[3]));
}

TEST_F(FramePointerTest, ARestoredOneThatIsUsedCounts) {
  RuleCache::Insert(kInner, CompactRule(StepKind::kSp, 2, 2));
  RuleCache::Insert(kMiddle, CompactRule(StepKind::kFp, 2, 2));
  Walk();
  EXPECT_TRUE(IsUnmovedWithOther(&start_.fp)) << "it is replaced before it is used";
  EXPECT_FALSE(IsUnmovedWithOther(&words_[0]));
  EXPECT_TRUE(IsUnmovedWithOther(&words_[2]));
}

TEST_F(FramePointerTest, OneThatIsPassedOnToItsUserCounts) {
  RuleCache::Insert(kInner, CompactRule(StepKind::kSp, 2));
  RuleCache::Insert(kMiddle, CompactRule(StepKind::kFp, 2, 2));
  Walk();
  EXPECT_FALSE(IsUnmovedWithOther(&start_.fp));
  EXPECT_TRUE(IsUnmovedWithOther(&words_[0]));
}

TEST_F(RememberingTest, RandomCallsGiveTheStacksOfFullWalks) {
  while (walks_ < 50'000 && !HasFatalFailure()) Next(10);
  EXPECT_EQ(refused_, 0u);
  EXPECT_GT(kept_, frames_ / 2);  // else nothing was remembered and nothing tested
}

TEST_F(RememberingTest, FramesWithOtherCallersAreNotTakenForKnown) {
  for (int i = 0; i < 20'000 && !HasFatalFailure(); ++i) {
    // Few bits change from one call to the next.
    const uint64_t path = rt::NextRandom(&random_) & rt::NextRandom(&random_) & rt::NextRandom(&random_);
    EqualFrames<0>(static_cast<int>(10 + path % 3), path);
  }
  EXPECT_EQ(refused_, 0u);
  EXPECT_GT(kept_, frames_ / 2);
}

TEST_F(RememberingTest, LongjmpAndExceptionsLeaveNothingStale) {
  for (int i = 0; i < 200 && !HasFatalFailure(); ++i) {
    JumpOut(i % 7);
    Compare();
    EXPECT_THROW(Leave(i % 5, nullptr), std::runtime_error);
    Compare();
  }
  EXPECT_EQ(refused_, 0u);
}

TEST_F(RememberingTest, AStackThatIsTooDeepIsRefusedAndForgotten) {
  stack().capacity = 2;
  Compare();
  EXPECT_EQ(refused_, 1u);
  EXPECT_EQ(stack().count, 0u);
}

}  // namespace
}  // namespace memtrace::unwind
