#include "tools/analysis/trend.h"

#include <gtest/gtest.h>

namespace memtrace::tools {
namespace {

TrendWord Judged(std::initializer_list<uint64_t> live) {
  std::vector<TrendPoint> points;
  for (const uint64_t bytes : live) points.push_back({static_cast<double>(points.size()), bytes});
  return JudgeTrend(points);
}

TEST(TrendTest, TwoPointsAreNoTrend) { EXPECT_EQ(Judged({1, 100}), TrendWord::kNone); }

TEST(TrendTest, OfThreePointsEachStepMustRise) {
  EXPECT_EQ(Judged({1, 2, 3}), TrendWord::kRising);
  EXPECT_EQ(Judged({1, 3, 2}), TrendWord::kNone);
  EXPECT_EQ(Judged({1, 1, 2}), TrendWord::kNone);
}

TEST(TrendTest, MorePointsMayWaver) {
  EXPECT_EQ(Judged({10, 20, 19, 30, 41, 40, 50}), TrendWord::kRising);
  EXPECT_EQ(Judged({10, 50, 10, 50, 10, 50}), TrendWord::kNone);
  EXPECT_EQ(Judged({10, 10, 10, 10}), TrendWord::kNone);
}

TEST(TrendTest, BelowTheFirstIsFalling) { EXPECT_EQ(Judged({10, 30, 5}), TrendWord::kFalling); }

}  // namespace
}  // namespace memtrace::tools
