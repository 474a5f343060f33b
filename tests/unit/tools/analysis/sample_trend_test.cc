#include "tools/analysis/sample_trend.h"

#include <gtest/gtest.h>

#include <functional>

namespace memtrace::tools {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// A row every five seconds, `usage` of each.
Evidence Rows(size_t count, const std::function<uint64_t(size_t)>& usage, const char* name = "web") {
  Evidence evidence;
  evidence.files.push_back({"memory.csv", "memory samples", {}});
  for (size_t i = 0; i < count; ++i) {
    Sample sample;
    sample.place = {0, static_cast<uint32_t>(i + 2)};
    sample.source = SampleSource::kMonitorCsv;
    sample.time.unix_ns = static_cast<int64_t>(1772510706 + 5 * i) * 1000000000;
    sample.name = name;
    sample.memory_bytes = usage(i);
    sample.limit_bytes = 512 * kMiB;
    evidence.samples.push_back(sample);
  }
  return evidence;
}

TEST(SampleTrendTest, SteadyGrowthReachesTheLimit) {
  const Evidence evidence = Rows(40, [](size_t i) { return (100 + 5 * i) * kMiB + i % 3 * 100000; });
  const auto growth = GrowthOf(evidence, std::nullopt);
  ASSERT_TRUE(growth);
  EXPECT_NEAR(growth->bytes_per_s, 1.0 * kMiB, 0.05 * kMiB);
  EXPECT_EQ(growth->limit_bytes, 512 * kMiB);
  EXPECT_NEAR(growth->time_to_limit_s.value_or(0), 512 - 295, 10);
}

TEST(SampleTrendTest, NothingGrows) {
  EXPECT_FALSE(GrowthOf(Rows(40, [](size_t) { return 100 * kMiB; }), std::nullopt));
  EXPECT_FALSE(GrowthOf(Rows(40, [](size_t i) { return (100 + i * 7919 % 13) * kMiB; }), std::nullopt));
  EXPECT_FALSE(GrowthOf(Rows(4, [](size_t i) { return (100 + i) * kMiB; }), std::nullopt));  // too few to tell
  EXPECT_FALSE(GrowthOf(Evidence(), std::nullopt));
}

TEST(SampleTrendTest, WhatCameToRestGrowsNoMore) {
  EXPECT_FALSE(GrowthOf(Rows(40, [](size_t i) { return (100 + 10 * std::min<size_t>(i, 15)) * kMiB; }), std::nullopt));
}

TEST(SampleTrendTest, ARestartBeginsANewSeries) {
  const auto growth =
      GrowthOf(Rows(40, [](size_t i) { return (i < 20 ? 400 - i : 50 + 10 * (i - 20)) * kMiB; }), std::nullopt);
  ASSERT_TRUE(growth);
  EXPECT_EQ(growth->first->place.line, 22U);
  EXPECT_NEAR(growth->bytes_per_s, 2.0 * kMiB, 0.1 * kMiB);
}

TEST(SampleTrendTest, TheFirstToReachItsLimitCounts) {
  Evidence evidence = Rows(
      20, [](size_t i) { return (10 + i) * kMiB; }, "slow");
  const Evidence fast = Rows(
      20, [](size_t i) { return (10 + 20 * i) * kMiB; }, "fast");
  evidence.samples.insert(evidence.samples.end(), fast.samples.begin(), fast.samples.end());
  const auto growth = GrowthOf(evidence, std::nullopt);
  ASSERT_TRUE(growth);
  EXPECT_EQ(growth->last->name, "fast");
}

TEST(SampleTrendTest, TimesWithoutAZoneAndLimitsFromElsewhere) {
  Evidence evidence = Rows(20, [](size_t i) { return (10 + i) * kMiB; });
  for (size_t i = 0; i < evidence.samples.size(); ++i) {
    Sample& sample = evidence.samples[i];
    sample.time = {{}, {}, "2026-03-03 04:05:" + std::to_string(10 + i)};
    sample.limit_bytes.reset();
  }
  auto growth = GrowthOf(evidence, std::nullopt);
  ASSERT_TRUE(growth);
  EXPECT_NEAR(growth->bytes_per_s, 1.0 * kMiB, 0.01 * kMiB);
  EXPECT_FALSE(growth->time_to_limit_s);
  EXPECT_NEAR(GrowthOf(evidence, 39 * kMiB)->time_to_limit_s.value_or(0), 10, 0.1);
  evidence.samples.back().memory_percent = 50;
  EXPECT_NEAR(GrowthOf(evidence, std::nullopt)->time_to_limit_s.value_or(0), 29, 0.1);
}

}  // namespace
}  // namespace memtrace::tools
