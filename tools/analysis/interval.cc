#include "tools/analysis/interval.h"

#include <algorithm>
#include <boost/math/distributions/gamma.hpp>
#include <cmath>

#include "libmemtrace/format/weight.h"
#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

constexpr double kTail = 0.025;

// Quantile of a gamma distribution with scale 1. Far out Wilson and Hilferty's cube (1931) is as
// good, and needs no iteration.
double GammaQuantile(double shape, double probability) {
  constexpr double kLargeShape = 1e6;
  constexpr double kNormal975 = 1.959963984540054;
  if (shape < kLargeShape) return boost::math::quantile(boost::math::gamma_distribution<>(shape, 1.0), probability);
  const double z = probability < 0.5 ? -kNormal975 : kNormal975;
  const double cube = 1 - 1 / (9 * shape) + z / (3 * std::sqrt(shape));
  return shape * cube * cube * cube;
}

}  // namespace

void LiveEstimate::Add(uint64_t size, uint64_t rate_bytes) {
  const format::Weight weight = format::WeightOf(size, rate_bytes);
  const double p = format::Probability(size, rate_bytes);
  const auto w = static_cast<double>(weight.bytes);
  bytes_ = SaturatingAdd(bytes_, weight.bytes);
  count_q16_ = SaturatingAdd(count_q16_, weight.count_q16);
  ++samples_;
  weight_sum_ += w;
  square_sum_ += w * w;
  if (p >= 1) {
    certain_bytes_ = SaturatingAdd(certain_bytes_, weight.bytes);
    return;
  }
  seen_bytes_ = SaturatingAdd(seen_bytes_, size);
  estimate_ += w;
  variance_ += w * w * (1 - p);
}

uint64_t LiveEstimate::allocations() const { return format::RoundedCount(count_q16_); }

Interval LiveEstimate::Interval95() const {
  if (!(variance_ > 0)) return {bytes_, bytes_};
  const double scale = variance_ / estimate_;
  const double shape = estimate_ / scale + 0.5;
  const uint64_t low = RoundToUint(std::floor(scale * GammaQuantile(shape, kTail)));
  const uint64_t high = RoundToUint(std::ceil(scale * GammaQuantile(shape, 1 - kTail)));
  return {std::min(bytes_, SaturatingAdd(certain_bytes_, std::max(low, seen_bytes_))),
          std::max(bytes_, SaturatingAdd(certain_bytes_, high))};
}

uint64_t UnseenUpperBound(double bytes_per_sample) {
  static const double kHalf = GammaQuantile(0.5, 1 - kTail);
  return RoundToUint(std::ceil(bytes_per_sample * kHalf));
}

}  // namespace memtrace::tools
