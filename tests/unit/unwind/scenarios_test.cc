#include <gtest/gtest.h>

#include "tests/unit/unwind/oracles.h"

namespace memtrace::unwind {

constexpr int kStacks = 19;

#define MEMTRACE_SCENARIO(name)                    \
  void name();                                     \
  TEST(UnwindScenarios, name) {                    \
    const int before = StacksCompared();           \
    name();                                        \
    EXPECT_EQ(StacksCompared() - before, kStacks); \
  }

MEMTRACE_SCENARIO(O0)
MEMTRACE_SCENARIO(O1)
MEMTRACE_SCENARIO(O2)
MEMTRACE_SCENARIO(O3)
MEMTRACE_SCENARIO(O0FramePointer)
MEMTRACE_SCENARIO(O1FramePointer)
MEMTRACE_SCENARIO(O2FramePointer)
MEMTRACE_SCENARIO(O3FramePointer)

}  // namespace memtrace::unwind
