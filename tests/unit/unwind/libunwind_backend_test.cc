#include "libmemtrace/unwind/libunwind_backend.h"

#include <gtest/gtest.h>

#include "libmemtrace/format/tables.h"
#include "tests/unit/unwind/oracles.h"

extern "C" int unw_backtrace(void** buffer, int size);

namespace memtrace::unwind {
namespace {

TEST(LibunwindBackend, SeesWhatWeSee) {
  OurStack own;
  OurStack other;
  Addresses oracle;
  EXPECT_FALSE(UseLibunwind([](void**, int) { return 0; }));
  EXPECT_FALSE(IsLibunwindUsed());
  TakeOurs(&own);
  ASSERT_TRUE(UseLibunwind(unw_backtrace));
  TakeOurs(&other);
  TakeByLibunwind(&oracle);
  ASSERT_TRUE(UseLibunwind(nullptr));
  EXPECT_TRUE(SameFrames(other, oracle)) << Describe(other, oracle);
  ASSERT_EQ(own.count, other.count);
  for (uint32_t i = 1; i < own.count; ++i) {
    EXPECT_EQ(own.frames[i].pc, other.frames[i].pc);
    EXPECT_EQ(own.frames[i].module, other.frames[i].module);
  }
}

// What a backend could say: these addresses, or as many of the last as fit.
void* g_addresses[] = {reinterpret_cast<void*>(0x1001), reinterpret_cast<void*>(0x2001),
                       reinterpret_cast<void*>(0x3001), nullptr, reinterpret_cast<void*>(0x4001)};
int Tell(void** buffer, int size) {
  const int count = size < 5 ? size : 5;
  for (int i = 0; i < count; ++i) buffer[i] = g_addresses[i];
  return count;
}

TEST(LibunwindBackend, BeginsAtTheStartAndEndsAtZero) {
  ASSERT_TRUE(UseLibunwind(Tell));
  Frame frames[8] = {};
  const Unwound two = UnwindByLibunwind({0x2001, 0, 0}, frames, 8);
  EXPECT_EQ(two.frames, 2u);
  EXPECT_FALSE(two.truncated);
  EXPECT_EQ(frames[0].pc, 0x2000u);
  EXPECT_EQ(frames[1].pc, 0x3000u);
  EXPECT_EQ(frames[0].module, format::kNoModule);
  EXPECT_EQ(frames[0].cfa, 0u);
  const Unwound one = UnwindByLibunwind({0x2001, 0, 0}, frames, 1);
  EXPECT_EQ(one.frames, 1u);
  EXPECT_TRUE(one.truncated);
  const Unwound elsewhere = UnwindByLibunwind({0x9999, 0, 0}, frames, 8);
  EXPECT_EQ(elsewhere.frames, 0u);
  EXPECT_TRUE(elsewhere.truncated);
  ASSERT_TRUE(UseLibunwind(nullptr));
  EXPECT_FALSE(IsLibunwindUsed());
}

}  // namespace
}  // namespace memtrace::unwind
