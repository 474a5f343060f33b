// What a recorded block stands for. The library computes weights when a block is entered and
// again when it is freed, the tools when they read the live table: all through this one function.
//
// Sampling is Poisson by bytes with mean interval R. A block of S >= R bytes is always
// recorded and stands for itself. A smaller one is recorded with probability
// p = 1 - exp(-S / R) and stands for S / p bytes and 1 / p blocks (Horvitz & Thompson 1952).
#ifndef MEMTRACE_FORMAT_WEIGHT_H_
#define MEMTRACE_FORMAT_WEIGHT_H_

#include <cstdint>

#include "libmemtrace/format/tables.h"

namespace memtrace::format {

struct Weight {
  uint64_t bytes;
  uint64_t count_q16;
};

// 1 - exp(-x) for 0 <= x <= 1, to 2e-16 relative: the Taylor series needs no libm, which the
// library does not have, and gives writer and reader the same bits.
constexpr double SampledShare(double x) {
  double term = x;
  double sum = x;
  for (int n = 2; n < 20; ++n) {
    term *= -x / n;
    sum += term;
  }
  return sum;
}

// No recording samples more rarely than once per TiB: a larger interval in a file is damage.
inline constexpr uint64_t kMostRateBytes = uint64_t{1} << 40;

// The probability with which a block of `size` bytes is recorded. Zero-byte blocks count as
// one byte.
constexpr double Probability(uint64_t size, uint64_t rate_bytes) {
  const uint64_t charged = size == 0 ? 1 : size;
  if (charged >= rate_bytes) return 1.0;
  return SampledShare(static_cast<double>(charged) / static_cast<double>(rate_bytes));
}

// Of a block that is smaller than the rate. Apart, for the sake of the callers' registers.
[[gnu::noinline]] constexpr Weight SampledWeight(uint64_t size, uint64_t rate_bytes) {
  const double p = Probability(size, rate_bytes);
  return {static_cast<uint64_t>(static_cast<double>(size) / p + 0.5),
          static_cast<uint64_t>(static_cast<double>(kCountOne) / p + 0.5)};
}

constexpr Weight WeightOf(uint64_t size, uint64_t rate_bytes) {
  if ((size == 0 ? 1 : size) >= rate_bytes) return {size, kCountOne};
  return SampledWeight(size, rate_bytes);
}

}  // namespace memtrace::format

#endif  // MEMTRACE_FORMAT_WEIGHT_H_
