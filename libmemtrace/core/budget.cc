#include "libmemtrace/core/budget.h"

#include "libmemtrace/core/process.h"
#include "libmemtrace/core/rate.h"

namespace memtrace::core {
namespace {

// Before the counter's rate is known: 2.5 GHz, or the 25 MHz of most arm64 machines at which the error is found at
// once.
#if defined(__x86_64__)
constexpr uint64_t kGuessedNsPerTickQ20 = (uint64_t{1} << 20) * 2 / 5;
#else
constexpr uint64_t kGuessedNsPerTickQ20 = (uint64_t{1} << 20) * 40;
#endif
// From 10 GHz to 1 MHz.
constexpr uint64_t kLeastScale = (uint64_t{1} << 20) / 10;
constexpr uint64_t kMostScale = (uint64_t{1} << 20) * 1000;
// Longer stays are those during which the thread was not running, with few exceptions: reading a module's tables for
// the first time, a page fault that waits for the disk. They stand for no others.
constexpr uint64_t kLongestStayNs = 50'000;
constexpr uint64_t kFlushNs = 20'000;
// A look takes about a microsecond: it comes after so much time in the slow path at least, or of the wall clock.
constexpr uint64_t kLeastStepNs = 100'000;
constexpr uint64_t kLookNs = 50'000'000;
constexpr uint64_t kCalibrationNs = 1'000'000;
constexpr uint64_t kCalibratedNs = 4'000'000'000;
// Of so many stays one is measured on average, where there are many and where each is dear.
constexpr uint64_t kDenseMask = 15;
constexpr uint64_t kReportedMask = 127;  // where the time is only reported
constexpr uint64_t kCoarseMask = 3;
constexpr uint64_t kCoarseRate = 4096;

uint64_t ToNanoseconds(uint64_t ticks) {
  const uint64_t scale = g_process.budget.ns_per_tick_q20.load(std::memory_order_relaxed);
  return ticks * scale >> 20;
}

}  // namespace

uint64_t TicksOf(uint64_t ns) { return (ns << 20) / g_process.budget.ns_per_tick_q20.load(std::memory_order_relaxed); }

namespace {

// The longer ago the beginning, the better; a second is more than good enough.
void Calibrate(uint64_t now_ticks) {
  Budget& b = g_process.budget;
  const uint64_t elapsed_ns = rt::NowNanoseconds(rt::Clock::kMonotonic) - b.start_ns;
  const uint64_t elapsed_ticks = now_ticks - b.start_ticks;
  if (elapsed_ns < kCalibrationNs || elapsed_ns >= kCalibratedNs || elapsed_ticks == 0) return;
  const uint64_t scale = (elapsed_ns << 20) / elapsed_ticks;
  // A virtual machine that moved may find a counter that stands elsewhere.
  if (scale >= kLeastScale && scale <= kMostScale) b.ns_per_tick_q20.store(scale, std::memory_order_relaxed);
}

Usage UsageNow(uint64_t slow_ns) {
  return {rt::NowNanoseconds(rt::Clock::kProcessCpu), rt::NowNanoseconds(rt::Clock::kMonotonic), slow_ns,
          g_process.budget.stays.load(std::memory_order_relaxed)};
}

void Look(uint64_t now_ticks) {
  Process& p = g_process;
  Budget& b = p.budget;
  if (!b.lock.TryAcquire()) return;
  Calibrate(now_ticks);
  const uint64_t slow_ns = Load(p.recording.header().slow_path_ns);
  const BudgetLaw::Advice advice = b.law.Look(UsageNow(slow_ns));
  const int64_t balance_ns = b.law.balance_ns();
  const uint64_t until_empty_ns = balance_ns > 0 ? static_cast<uint64_t>(balance_ns) / 2 : 0;
  b.due_slow_ns.store(slow_ns + (until_empty_ns < kLeastStepNs ? kLeastStepNs : until_empty_ns),
                      std::memory_order_relaxed);
  b.due_ticks.store(now_ticks + TicksOf(kLookNs), std::memory_order_relaxed);
  if ((advice.coarser_by > 1 && Coarsen(advice.coarser_by)) || (advice.finer_by > 1 && Refine(advice.finer_by))) {
    b.law.Changed();
  }
  b.lock.Release();
}

}  // namespace

void StartBudget() {
  Process& p = g_process;
  Budget& b = p.budget;
  b.lock.Reset();
  b.start_ticks = rt::ReadTicks();
  b.start_ns = rt::NowNanoseconds(rt::Clock::kMonotonic);
  b.ns_per_tick_q20.store(kGuessedNsPerTickQ20, std::memory_order_relaxed);
  b.due_ticks.store(b.start_ticks, std::memory_order_relaxed);
  b.due_slow_ns.store(kLeastStepNs, std::memory_order_relaxed);
  b.stays.store(0, std::memory_order_relaxed);
  b.law.Start(p.options.budget_ppm, UsageNow(0));
}

void EndStay(StayMeter* meter, uint64_t begin_ticks) {
  Process& p = g_process;
  Budget& b = p.budget;
  const uint64_t now_ticks = rt::ReadTicks();
  const uint64_t ticks = static_cast<int64_t>(now_ticks - begin_ticks) > 0 ? now_ticks - begin_ticks : 0;
  const uint64_t longest = TicksOf(kLongestStayNs);
  const uint64_t stays = ticks < longest ? meter->others + 1 : 1;
  meter->pending_ticks += (ticks < longest ? ticks : longest) * stays;
  meter->pending_stays += stays;
  format::Header& h = p.recording.header();
  const bool coarse = h.rates[Load(h.rate_index)].bytes >= kCoarseRate;
  const uint64_t mask = coarse ? kCoarseMask : p.options.sample == config::Sample::kAuto ? kDenseMask : kReportedMask;
  meter->until = static_cast<uint32_t>((now_ticks >> 1) & mask);
  meter->others = meter->until;

  const bool due = now_ticks >= b.due_ticks.load(std::memory_order_relaxed);
  const uint64_t pending_ns = ToNanoseconds(meter->pending_ticks);
  if (pending_ns < kFlushNs && !due) return;
  b.stays.fetch_add(meter->pending_stays, std::memory_order_relaxed);
  meter->pending_ticks = 0;
  meter->pending_stays = 0;
  const uint64_t slow_ns = Atomic(h.slow_path_ns).fetch_add(pending_ns, std::memory_order_relaxed) + pending_ns;
  if (p.options.sample != config::Sample::kAuto) return;
  if (due || slow_ns >= b.due_slow_ns.load(std::memory_order_relaxed)) Look(now_ticks);
}

}  // namespace memtrace::core
