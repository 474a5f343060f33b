// Arithmetic on numbers that a hostile file may have chosen, and the hash behind stable ids.
#ifndef MEMTRACE_TOOLS_COMMON_NUMBERS_H_
#define MEMTRACE_TOOLS_COMMON_NUMBERS_H_

#include <cstdint>
#include <limits>
#include <string_view>

namespace memtrace::tools {

constexpr uint64_t SaturatingAdd(uint64_t a, uint64_t b) {
  const uint64_t sum = a + b;
  return sum < a ? std::numeric_limits<uint64_t>::max() : sum;
}

// A sum of cells that wrap around, see format::SiteCell: below zero only after a kill in the
// middle of an update, and then as good as zero.
constexpr uint64_t ClampWrapped(uint64_t sum) { return sum >> 63 != 0 ? 0 : sum; }

// The difference, or 0 where it would be negative.
constexpr uint64_t Excess(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

// Saturates at both ends; NaN is 0.
constexpr uint64_t RoundToUint(double value) {
  if (!(value > 0)) return 0;
  if (value >= 18446744073709549568.0) return std::numeric_limits<uint64_t>::max();
  return static_cast<uint64_t>(value + 0.5);  // NOLINT(bugprone-incorrect-roundings): not negative, constexpr
}

// FNV-1a, 64 bits (RFC draft-eastlake-fnv): small and the same everywhere, which ids need.
class StableHash {
 public:
  constexpr StableHash() = default;
  constexpr explicit StableHash(uint64_t seed) : state_(seed) {}
  constexpr StableHash& Add(std::string_view text) {
    for (const char c : text) Mix(static_cast<unsigned char>(c));
    Mix(0xff);  // so that "ab","c" and "a","bc" differ
    return *this;
  }
  constexpr StableHash& Add(uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) Mix(static_cast<unsigned char>(number >> shift));
    return *this;
  }
  constexpr uint64_t value() const { return state_; }

 private:
  constexpr void Mix(unsigned char byte) { state_ = (state_ ^ byte) * 0x100000001b3; }

  uint64_t state_ = 0xcbf29ce484222325;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_COMMON_NUMBERS_H_
