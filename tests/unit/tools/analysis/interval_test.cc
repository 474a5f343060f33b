#include "tools/analysis/interval.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "libmemtrace/format/weight.h"

namespace memtrace::tools {
namespace {

TEST(IntervalTest, CertainBlocksHaveNoUncertainty) {
  LiveEstimate live;
  live.Add(100, 1);
  live.Add(70000, 65536);
  EXPECT_EQ(live.bytes(), 70100u);
  EXPECT_EQ(live.allocations(), 2u);
  EXPECT_EQ(live.Interval95().low, 70100u);
  EXPECT_EQ(live.Interval95().high, 70100u);
}

TEST(IntervalTest, NothingIsNothing) {
  EXPECT_EQ(LiveEstimate().bytes(), 0u);
  EXPECT_EQ(LiveEstimate().Interval95().high, 0u);
}

TEST(IntervalTest, NeverBelowWhatWasSeen) {
  LiveEstimate live;
  live.Add(60000, 65536);
  live.Add(200000, 65536);
  EXPECT_GE(live.Interval95().low, 260000u);
  EXPECT_GT(live.Interval95().high, live.bytes());
}

TEST(IntervalTest, HugeSampleCountsStayFinite) {
  LiveEstimate live;
  for (int i = 0; i < 2'000'000; ++i) live.Add(8, 1024);
  const double half = static_cast<double>(live.Interval95().high - live.bytes());
  EXPECT_NEAR(half / static_cast<double>(live.bytes()), 1.96 / std::sqrt(2e6), 1e-4);
}

// A population of one site: `pattern` repeated until `expected` samples are to be expected.
std::vector<uint64_t> Population(const std::vector<double>& pattern, double size_to_rate, double rate,
                                 double expected) {
  std::vector<uint64_t> sizes;
  for (double samples = 0; samples < expected && sizes.size() < 200000;) {
    const double size = size_to_rate * rate * pattern[sizes.size() % pattern.size()];
    sizes.push_back(static_cast<uint64_t>(size) + 1);
    samples += format::Probability(sizes.back(), static_cast<uint64_t>(rate));
  }
  return sizes;
}

struct Coverage {
  int covered = 0;
  int runs = 0;
  double share() const { return static_cast<double>(covered) / runs; }
};

// Geometric gaps would be faster than one draw per block, but this is how the library's result is defined.
Coverage Simulate(const std::vector<uint64_t>& sizes, uint64_t rate, int runs, std::mt19937_64* random) {
  uint64_t truth = 0;
  std::vector<double> probabilities;
  for (const uint64_t size : sizes) {
    truth += size;
    probabilities.push_back(format::Probability(size, rate));
  }
  std::uniform_real_distribution<> uniform;
  Coverage coverage;
  for (int run = 0; run < runs; ++run) {
    LiveEstimate live;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (uniform(*random) < probabilities[i]) live.Add(sizes[i], rate);
    }
    if (live.samples() == 0) continue;  // no site to report
    ++coverage.runs;
    const Interval interval = live.Interval95();
    if (interval.low <= truth && truth <= interval.high) ++coverage.covered;
  }
  return coverage;
}

TEST(IntervalTest, CoversTheTruthAsOftenAsItSays) {
  constexpr uint64_t kRate = 1 << 20;
  const std::vector<std::vector<double>> patterns = {{1}, {1, 0.1, 0.01, 0.5}, {1, 0.03, 0.03, 0.02, 0.02, 0.02}};
  std::mt19937_64 random(4711);
  Coverage all;
  for (const std::vector<double>& pattern : patterns) {
    for (const double size_to_rate : {0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9}) {
      for (const double expected : {5.0, 10.0, 30.0, 100.0, 1000.0}) {
        const std::vector<uint64_t> sizes = Population(pattern, size_to_rate, kRate, expected);
        const int runs = sizes.size() > 20000 ? 40 : sizes.size() > 2000 ? 150 : 600;
        const Coverage coverage = Simulate(sizes, kRate, runs, &random);
        // Five standard errors below the worst case that is documented.
        EXPECT_GT(coverage.share(), 0.915 - 5 * 0.28 / std::sqrt(coverage.runs)) << size_to_rate << ' ' << expected;
        all.covered += coverage.covered;
        all.runs += coverage.runs;
      }
    }
  }
  EXPECT_GE(all.share(), 0.94);
  EXPECT_LE(all.share(), 0.96);
}

}  // namespace
}  // namespace memtrace::tools
