// The law by which MEMTRACE_SAMPLE=auto moves the sampling interval. Arithmetic only: no clock, no process.
//
// A bucket fills with the budget's share of the CPU time that the process uses and drains with the time spent in the
// slow path. A process counts as using a tenth of a CPU at least: of a service that sleeps most of the time a share of
// what little it uses would leave nothing to see, and nobody misses a thousandth of a CPU. The bucket begins with a
// small credit, so that a program is recorded exactly at first, and holds little, so that idle hours do not pay for a
// long burst. When it is empty the interval is raised at once by as much as the present share of the slow path asks
// for, and a bit more: the debt is worked off. It falls again when even the denser sampling would take no more than
// half of the budget. Between the two lies a factor of two or more, so that a steady program settles.
#ifndef MEMTRACE_CORE_BUDGET_LAW_H_
#define MEMTRACE_CORE_BUDGET_LAW_H_

#include <cstdint>

namespace memtrace::core {

// What the clocks and counters of a process say; all only grow.
struct Usage {
  uint64_t cpu_ns;   // of the whole process
  uint64_t wall_ns;  // CLOCK_MONOTONIC
  uint64_t slow_ns;  // of cpu_ns, spent in the slow path
  uint64_t stays;    // in the slow path
};

class BudgetLaw {
 public:
  static constexpr int64_t kStartCreditNs = 1'000'000;
  static constexpr int64_t kMostCreditNs = 5'000'000;
  // That part of the wall clock counts as CPU time at least.
  static constexpr uint64_t kIdleDivisor = 10;
  // CPU time, so counted, that is looked at before the interval falls.
  static constexpr uint64_t kSettleNs = 50'000'000;
  // What is looked at before it is raised: as many stays, or as much time in them.
  static constexpr uint64_t kEvidenceStays = 256;
  static constexpr uint64_t kEvidenceNs = 500'000;
  // The first stays meet every module, stack and page for the first time: they count, but they foretell nothing.
  static constexpr uint64_t kColdStays = 128;
  static constexpr uint64_t kMostFactor = 64;

  void Start(uint32_t share_ppm, const Usage& usage);

  struct Advice {
    uint64_t coarser_by = 1;  // > 1: multiply the interval by that at least
    uint64_t finer_by = 1;    // > 1: the interval may be divided by that at most
  };
  Advice Look(const Usage& now);
  // The advice was followed: what came before says nothing about the new interval.
  void Changed() { window_ = now_; }

  int64_t balance_ns() const { return balance_ns_; }

 private:
  uint64_t Share(uint64_t counted_ns) const;

  uint32_t share_ppm_ = 0;
  int64_t balance_ns_ = 0;
  Usage last_ = {};
  // What the law looks at, now and where the present window began.
  struct Counted {
    uint64_t ns = 0;  // CPU time, or what counts as such
    uint64_t slow_ns = 0;
    uint64_t stays = 0;
  };
  Counted now_ = {};
  Counted window_ = {};
  uint64_t warm_stays_ = 0;
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_BUDGET_LAW_H_
