// Random numbers for sampling. Not for secrets.
#ifndef MEMTRACE_RT_RANDOM_H_
#define MEMTRACE_RT_RANDOM_H_

#include <bit>
#include <cstdint>

namespace memtrace::rt {

// Natural logarithm of a normal positive number, to about 1e-12 relative: x = m * 2^e with m in [1/sqrt2,
// sqrt2), ln m = 2 atanh((m-1)/(m+1)). There is no libm here.
constexpr double NaturalLog(double x) {
  constexpr double kLn2 = 0.693147180559945309417;
  constexpr double kSqrt2 = 1.41421356237309504880;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52 & 0x7ff) - 1023;
  double mantissa = std::bit_cast<double>((bits & 0xfffffffffffff) | 0x3ff0000000000000);
  if (mantissa > kSqrt2) {
    mantissa *= 0.5;
    ++exponent;
  }
  const double t = (mantissa - 1) / (mantissa + 1);
  const double t2 = t * t;
  double sum = 0;
  for (int k = 19; k >= 1; k -= 2) sum = sum * t2 + 1.0 / k;
  return exponent * kLn2 + 2 * t * sum;
}

// xorshift64* (Vigna 2016). The state must not be zero.
constexpr uint64_t NextRandom(uint64_t* state) {
  uint64_t x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * 0x2545f4914f6cdd1d;
}

// SplitMix64's finaliser: turns counters and addresses into well-spread words.
constexpr uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9;
  x ^= x >> 27;
  x *= 0x94d049bb133111eb;
  return x ^ x >> 31;
}

// Uniform in (0, 1].
constexpr double NextUniform(uint64_t* state) { return static_cast<double>((NextRandom(state) >> 11) + 1) * 0x1p-53; }

// Exponentially distributed with the given mean, at least 1.
constexpr uint64_t NextExponential(uint64_t* state, uint64_t mean) {
  const double gap = -NaturalLog(NextUniform(state)) * static_cast<double>(mean);
  return gap < 1 ? 1 : static_cast<uint64_t>(gap);
}

}  // namespace memtrace::rt

#endif  // MEMTRACE_RT_RANDOM_H_
