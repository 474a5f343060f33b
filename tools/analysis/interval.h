// How sure an estimate of live bytes is.
#ifndef MEMTRACE_TOOLS_ANALYSIS_INTERVAL_H_
#define MEMTRACE_TOOLS_ANALYSIS_INTERVAL_H_

#include <cstdint>

namespace memtrace::tools {

struct Interval {
  uint64_t low = 0;
  uint64_t high = 0;
};

// Gathers the recorded live blocks of one site.
//
// Blocks that were recorded for certain add no uncertainty. For the others, with p = P(recorded)
// and w = size / p, the Horvitz-Thompson estimate is E = sum of w, and its variance is estimated
// by V = sum of w^2 (1 - p). The 95 % interval takes E as V/E times a gamma variate of shape E^2/V,
// one half added as in Jeffreys' interval for a Poisson mean, which for equal small blocks it is
// (Brown, Cai & DasGupta 2003); it never goes below what was seen. In simulations over
// size/interval 0.001..0.9, equal and mixed sizes, 5..1000 samples, it covers the truth in 94.9 %
// (worst case 92, best 98).
class LiveEstimate {
 public:
  void Add(uint64_t size, uint64_t rate_bytes);

  uint64_t bytes() const { return bytes_; }
  uint64_t allocations() const;  // estimated number of blocks
  uint64_t samples() const { return samples_; }
  // Bytes that one recorded block stands for, weighted by bytes: E / this is the effective sample size.
  double BytesPerSample() const { return weight_sum_ > 0 ? square_sum_ / weight_sum_ : 0; }
  Interval Interval95() const;

 private:
  uint64_t bytes_ = 0;
  uint64_t count_q16_ = 0;
  uint64_t samples_ = 0;
  uint64_t certain_bytes_ = 0;  // of blocks with p = 1
  uint64_t seen_bytes_ = 0;     // sizes of recorded blocks with p < 1
  double estimate_ = 0;         // E
  double variance_ = 0;         // V
  double weight_sum_ = 0;
  double square_sum_ = 0;
};

// Upper end of the interval for a site with no recorded live block whose blocks, had one been
// recorded, would each stand for `bytes_per_sample`.
uint64_t UnseenUpperBound(double bytes_per_sample);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_INTERVAL_H_
