// Statistics of the sampler. Seeds are fixed, so a test that passes keeps passing until the code changes; each bound is
// stated with the rate at which a correct sampler would miss it for another choice of seeds.
#include "libmemtrace/core/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <initializer_list>

#include "libmemtrace/format/weight.h"

namespace memtrace::core {
namespace {

constexpr uint64_t kRate = 16 * 1024;
// A correct sampler misses a two-sided bound of four standard errors once in 16,000 times.
constexpr double kSigmas = 4;

// One thread's allocations through the fast path's arithmetic and the sampler.
class Thread {
 public:
  explicit Thread(uint64_t seed, std::initializer_list<uint64_t> rates = {kRate}) : random_(rt::Mix(seed) | 1) {
    uint32_t i = 0;
    for (const uint64_t rate : rates) header_.rates[i++].bytes = rate;
    DrawGap(&state_, &random_, header_, 0);
  }

  void UseRate(uint32_t index) { current_ = index; }

  // What an allocation of `size` bytes adds to the estimates.
  format::Weight Allocate(uint64_t size) {
    state_.countdown -= static_cast<int64_t>(size == 0 ? 1 : size);
    if (state_.countdown > 0) return {0, 0};
    uint32_t rate = 0;
    if (!TakeSample(&state_, &random_, header_, size, current_, &rate)) return {0, 0};
    return format::WeightOf(size, header_.rates[rate].bytes);
  }

 private:
  format::Header header_ = {};
  ThreadState state_ = {};
  uint64_t random_;
  uint32_t current_ = 0;
};

// Mean and standard error of a series.
class Series {
 public:
  void Add(double value) {
    ++n_;
    const double delta = value - mean_;
    mean_ += delta / n_;
    squares_ += delta * (value - mean_);
  }
  double mean() const { return mean_; }
  double variance() const { return squares_ / (n_ - 1); }
  double standard_error() const { return std::sqrt(variance() / n_); }

 private:
  double n_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

void ExpectMean(const Series& series, double truth) {
  EXPECT_NEAR(series.mean(), truth, kSigmas * series.standard_error());
}

TEST(Sampler, RecordsEveryBlockInExactMode) {
  Thread thread(1, {kExactRate});
  for (const uint64_t size : {0u, 1u, 16u, 100'000u}) {
    const format::Weight weight = thread.Allocate(size);
    EXPECT_EQ(weight.bytes, size);
    EXPECT_EQ(weight.count_q16, format::kCountOne);
  }
}

TEST(Sampler, RecordsEveryLargeBlockForItself) {
  Thread thread(2);
  for (int i = 0; i < 1000; ++i) {
    thread.Allocate(100);
    EXPECT_EQ(thread.Allocate(kRate).bytes, kRate);
    EXPECT_EQ(thread.Allocate(20 * kRate + 1).bytes, 20 * kRate + 1);
  }
}

class Unbiased : public testing::TestWithParam<uint64_t> {};

// 400 threads; the site under test among blocks of other sizes, smaller and larger than the rate.
TEST_P(Unbiased, BytesBlocksAndVariance) {
  const uint64_t size = GetParam();
  const uint64_t blocks = 60 * kRate / (size == 0 ? 1 : size) + 1;
  Series bytes;
  Series counts;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Thread thread(seed);
    double byte_sum = 0;
    double count_sum = 0;
    for (uint64_t i = 0; i < blocks; ++i) {
      const format::Weight weight = thread.Allocate(size);
      byte_sum += static_cast<double>(weight.bytes);
      count_sum += static_cast<double>(weight.count_q16) / format::kCountOne;
      if (i % 3 == 0) thread.Allocate(i % 5 == 0 ? 3 * kRate : 40);
    }
    bytes.Add(byte_sum);
    counts.Add(count_sum);
  }
  const auto n = static_cast<double>(blocks);
  ExpectMean(bytes, n * static_cast<double>(size));
  ExpectMean(counts, n);
  // Independent draws would have the variance n * (1 - p) / p; sampling by gaps along the bytes has it too, because
  // a Poisson process has no memory. The standard error of a variance from 400 values is sqrt(2 / 399) of it.
  const double p = format::Probability(size, kRate);
  EXPECT_NEAR(counts.variance(), n * (1 - p) / p, kSigmas * std::sqrt(2.0 / 399) * n * (1 - p) / p);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Unbiased, testing::Values(0, 1, 16, 200, 1000, 4096, 10'000, kRate - 1),
                         testing::PrintToStringParamName());

TEST(Sampler, FirstBlockOfAThreadIsSampledLikeAnyOther) {
  constexpr uint64_t kSize = 4096;
  Series sampled;
  for (uint64_t seed = 1; seed <= 20'000; ++seed) {
    sampled.Add(Thread(seed).Allocate(kSize).bytes != 0 ? 1 : 0);
  }
  ExpectMean(sampled, format::Probability(kSize, kRate));
}

// The countdown is handed out in pieces of the rate at most; the gaps behind it are exponential all the same.
TEST(Sampler, GapsAreExponential) {
  constexpr uint64_t kStep = 16;
  Series gaps;
  Series longer_than_three;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Thread thread(seed);
    uint64_t gap = 0;
    for (int samples = 0; samples < 1000;) {
      gap += kStep;
      if (thread.Allocate(kStep).bytes == 0) continue;
      gaps.Add(static_cast<double>(gap));
      longer_than_three.Add(gap > 3 * kRate ? 1 : 0);
      gap = 0;
      ++samples;
    }
  }
  const double p = format::Probability(kStep, kRate);
  ExpectMean(gaps, kStep / p);
  ExpectMean(longer_than_three, std::pow(1 - p, 3 * kRate / kStep));
}

TEST(Sampler, StaysUnbiasedWhenTheRateChanges) {
  constexpr uint64_t kSize = 500;
  constexpr int kBlocks = 6000;
  Series coarser;
  Series finer;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    for (const bool up : {true, false}) {
      Thread thread(seed, up ? std::initializer_list<uint64_t>{kRate, 4 * kRate}
                             : std::initializer_list<uint64_t>{kRate, kRate / 8});
      double sum = 0;
      for (int i = 0; i < kBlocks; ++i) {
        if (i == kBlocks / 3) thread.UseRate(1);
        if (i % 50 == 0) thread.Allocate(5 * kRate);  // a certain block in a drawn gap may end it early
        sum += static_cast<double>(thread.Allocate(kSize).bytes);
      }
      (up ? coarser : finer).Add(sum);
    }
  }
  ExpectMean(coarser, kBlocks * kSize);
  ExpectMean(finer, kBlocks * kSize);
}

// From exact to sampled on the brink, and back.
TEST(Sampler, LeavesExactModeAndReturns) {
  Thread thread(7, {kExactRate, kRate, kExactRate});
  EXPECT_EQ(thread.Allocate(10).bytes, 10u);
  thread.UseRate(1);
  EXPECT_EQ(thread.Allocate(10).bytes, 10u);  // draws the first gap
  uint64_t sampled = 0;
  for (int i = 0; i < 1000; ++i) sampled += thread.Allocate(10).bytes != 0 ? 1 : 0;
  EXPECT_LT(sampled, 10u);
  thread.UseRate(2);
  thread.Allocate(kRate);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(thread.Allocate(10).bytes, 10u);
}

}  // namespace
}  // namespace memtrace::core
