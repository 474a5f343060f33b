// Poisson sampling by bytes, see format/weight.h for what a sample stands for.
#ifndef MEMTRACE_CORE_SAMPLER_H_
#define MEMTRACE_CORE_SAMPLER_H_

#include <cstdint>

#include "libmemtrace/core/thread_state.h"
#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/random.h"

namespace memtrace::core {

// Exact mode is a rate of one byte: every block is at least as large as the rate.
inline constexpr uint64_t kExactRate = 1;

// Starts a new gap with the rate `index`. The countdown never exceeds the rate, so that a block of at least that
// size always takes the slow path.
inline void DrawGap(ThreadState* thread, uint64_t* random, const format::Header& header, uint32_t index) {
  const uint64_t rate = header.rates[index].bytes;
  thread->rate = static_cast<uint8_t>(index);
  if (rate == kExactRate) {
    thread->countdown = 0;
    thread->gap_rest = 0;
    return;
  }
  const uint64_t gap = rt::NextExponential(random, rate);
  const uint64_t piece = gap < rate ? gap : rate;
  thread->countdown = static_cast<int64_t>(piece);
  thread->gap_rest = static_cast<int64_t>(gap - piece);
}

// Decides over an allocation that brought the countdown to zero or below. Returns whether it is recorded,
// with the rate of *rate_index; `current` is the rate that new gaps are drawn with.
inline bool TakeSample(ThreadState* thread, uint64_t* random, const format::Header& header, uint64_t size,
                       uint32_t current, uint32_t* rate_index) {
  *rate_index = thread->rate;
  const uint64_t rate = header.rates[thread->rate].bytes;
  const uint64_t charged = size == 0 ? 1 : size;
  if (charged >= rate) {  // recorded for certain, outside of the Poisson process: gives back what it was charged
    thread->countdown += static_cast<int64_t>(charged);
    if (thread->rate != current) DrawGap(thread, random, header, current);  // a gap has no memory
    return true;
  }
  while (thread->countdown <= 0 && thread->gap_rest > 0) {
    const int64_t piece = thread->gap_rest < static_cast<int64_t>(rate) ? thread->gap_rest : static_cast<int64_t>(rate);
    thread->gap_rest -= piece;
    thread->countdown += piece;
  }
  if (thread->countdown > 0) return false;
  DrawGap(thread, random, header, current);
  return true;
}

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_SAMPLER_H_
