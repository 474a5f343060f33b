// Measures the time that threads spend in the slow path, and keeps it within MEMTRACE_BUDGET where the sampling
// interval is ours to choose. A few stays are measured, at random, and stand for the others: measuring costs less than
// a nanosecond of each.
#ifndef MEMTRACE_CORE_BUDGET_H_
#define MEMTRACE_CORE_BUDGET_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/core/budget_law.h"
#include "libmemtrace/rt/lock.h"
#include "libmemtrace/rt/ticks.h"

namespace memtrace::core {

// Of one thread.
struct StayMeter {
  uint32_t until;          // stays until one is measured
  uint32_t others;         // stays that it stands for beside itself
  uint64_t pending_ticks;  // not yet in Header::slow_path_ns
  uint64_t pending_stays;
};

struct Budget {
  rt::Lock lock;
  BudgetLaw law;
  // The counter's rate: nanoseconds are ticks * ns_per_tick_q20 >> 20, measured from the beginning of the recording on.
  std::atomic<uint64_t> ns_per_tick_q20{0};
  uint64_t start_ticks = 0;
  uint64_t start_ns = 0;  // CLOCK_MONOTONIC
  std::atomic<uint64_t> stays{0};
  // When to look at the clocks again.
  std::atomic<uint64_t> due_ticks{0};
  std::atomic<uint64_t> due_slow_ns{0};
};

// A new recording begins. Call before the process is switched on.
void StartBudget();

uint64_t TicksOf(uint64_t ns);

// Brackets a stay in the slow path. Returns 0 where this stay is not measured.
inline uint64_t BeginStay(StayMeter* meter) {
  if (__builtin_expect(meter->until != 0, 1)) {
    --meter->until;
    return 0;
  }
  return rt::ReadTicks();
}
// Requires begin_ticks != 0. May change the sampling interval.
void EndStay(StayMeter* meter, uint64_t begin_ticks);

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_BUDGET_H_
