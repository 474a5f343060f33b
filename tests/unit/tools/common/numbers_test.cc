#include "tools/common/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(NumbersTest, SumsSaturate) {
  EXPECT_EQ(SaturatingAdd(1, 2), 3u);
  EXPECT_EQ(SaturatingAdd(kMax - 1, 5), kMax);
}

TEST(NumbersTest, WrappedSumsAreZero) {
  EXPECT_EQ(ClampWrapped(5), 5u);
  EXPECT_EQ(ClampWrapped(uint64_t{0} - 5), 0u);
  EXPECT_EQ(Excess(3, 5), 0u);
}

TEST(NumbersTest, RoundingIsTotal) {
  EXPECT_EQ(RoundToUint(2.5), 3u);
  EXPECT_EQ(RoundToUint(-1), 0u);
  EXPECT_EQ(RoundToUint(std::nan("")), 0u);
  EXPECT_EQ(RoundToUint(1e30), kMax);
}

TEST(NumbersTest, HashSeparatesItsParts) {
  EXPECT_EQ(StableHash().Add("ab").Add("c").value(), StableHash().Add("ab").Add("c").value());
  EXPECT_NE(StableHash().Add("ab").Add("c").value(), StableHash().Add("a").Add("bc").value());
}

TEST(QuantityTest, Bytes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(812), "812 B");
  EXPECT_EQ(FormatBytes(12'900'000), "12.3 MiB");
  EXPECT_EQ(FormatBytes(1048575), "1.0 MiB");
}

TEST(QuantityTest, CountsSecondsAndShares) {
  EXPECT_EQ(FormatCount(950), "950");
  EXPECT_EQ(FormatCount(12'345), "12.3k");
  EXPECT_EQ(FormatSeconds(0), "0.0 s");
  EXPECT_EQ(FormatSeconds(0.0001), "<1 ms");
  EXPECT_EQ(FormatSeconds(0.042), "42 ms");
  EXPECT_EQ(FormatSeconds(0.25), "0.2 s");
  EXPECT_EQ(FormatSeconds(45), "45 s");
  EXPECT_EQ(FormatSeconds(8000), "2.2 h");
  EXPECT_EQ(FormatShare(0.456), "46 %");
  EXPECT_EQ(FormatShare(0.0456), "4.6 %");
  EXPECT_EQ(FormatShare(0.0003), "0.03 %");
}

TEST(QuantityTest, TimeIsRfc3339) { EXPECT_EQ(FormatUtc(1'763'817'300'250'000'000), "2025-11-22T13:15:00.250Z"); }

}  // namespace
}  // namespace memtrace::tools
