#include "libmemtrace/unwind/full.h"

#include <gtest/gtest.h>

#include "libmemtrace/unwind/resolve.h"
#include "tests/unit/unwind/oracles.h"

extern "C" void MemtraceFullFrame(void (*body)());

namespace memtrace::unwind {
namespace {

TEST(UnwindFull, FramesThatNeedMoreThanTwoRegisters) {
  static OurStack stack;
  const int before = StacksCompared();
  MemtraceFullFrame([] { TakeOurs(&stack); });
  int full = 0;
  for (uint32_t i = 0; i < stack.count; ++i) full += RuleFor(stack.frames[i].pc).kind() == StepKind::kFull ? 1 : 0;
  EXPECT_EQ(full, 1);
  MemtraceFullFrame([] { ExpectSameStacks("kept in a callee-saved register"); });
  MemtraceFullFrame([] { MemtraceFullFrame([] { ExpectSameStacks("twice"); }); });
  EXPECT_EQ(StacksCompared(), before + 2);
}

[[gnu::noinline]] Unwound TakeFull(Frame* frames, uint32_t capacity, uintptr_t off = 0) {
  const Registers start{reinterpret_cast<uintptr_t>(__builtin_return_address(0)),
                        reinterpret_cast<uintptr_t>(__builtin_dwarf_cfa()) + off,
                        *static_cast<uintptr_t*>(__builtin_frame_address(0))};
  return UnwindFull(start, CurrentStackLimits(start.sp, true), frames, capacity);
}

Frame g_frames[64];
Unwound g_unwound;

TEST(UnwindFull, WalksToTheEnd) {
  MemtraceFullFrame([] { g_unwound = TakeFull(g_frames, 64); });
  ASSERT_GT(g_unwound.frames, 3u);
  EXPECT_FALSE(g_unwound.truncated);
  int full = 0;
  for (uint32_t i = 0; i < g_unwound.frames; ++i) {
    full += RuleFor(g_frames[i].pc).kind() == StepKind::kFull ? 1 : 0;
    EXPECT_TRUE(i == 0 || g_frames[i].cfa == 0 || g_frames[i].cfa > g_frames[i - 1].cfa) << i;
  }
  EXPECT_EQ(full, 1);
  EXPECT_EQ(g_frames[g_unwound.frames - 1].cfa, 0u);
}

TEST(UnwindFull, CapacityIsKept) {
  g_frames[2].pc = 77;
  const Unwound unwound = TakeFull(g_frames, 2);
  EXPECT_EQ(unwound.frames, 2u);
  EXPECT_TRUE(unwound.truncated);
  EXPECT_EQ(g_frames[2].pc, 77u);
}

TEST(UnwindFull, StartThatIsNoFrameOfOursIsTruncatedNotWrong) {
  const Unwound unwound = TakeFull(g_frames, 64, 8);
  EXPECT_GE(unwound.frames, 1u) << "the frame that was named";
  EXPECT_LE(unwound.frames, 64u);
}

}  // namespace
}  // namespace memtrace::unwind
