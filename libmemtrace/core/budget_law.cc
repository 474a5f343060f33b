#include "libmemtrace/core/budget_law.h"

namespace memtrace::core {

// A thousandth of the budget of a century is still far from 2^64.
uint64_t BudgetLaw::Share(uint64_t counted_ns) const { return counted_ns / 1000 * share_ppm_ / 1000; }

void BudgetLaw::Start(uint32_t share_ppm, const Usage& usage) {
  share_ppm_ = share_ppm;
  balance_ns_ = kStartCreditNs;
  last_ = usage;
  now_ = window_ = {0, usage.slow_ns, usage.stays};
  warm_stays_ = usage.stays + kColdStays;
}

BudgetLaw::Advice BudgetLaw::Look(const Usage& now) {
  const bool was_cold = now_.stays < warm_stays_;
  const uint64_t cpu_ns = now.cpu_ns > last_.cpu_ns ? now.cpu_ns - last_.cpu_ns : 0;
  const uint64_t idle_ns = now.wall_ns > last_.wall_ns ? (now.wall_ns - last_.wall_ns) / kIdleDivisor : 0;
  const Counted before = now_;
  now_ = {before.ns + (cpu_ns > idle_ns ? cpu_ns : idle_ns), now.slow_ns, now.stays};
  last_ = now;
  balance_ns_ += static_cast<int64_t>(Share(now_.ns) - Share(before.ns));
  balance_ns_ -= static_cast<int64_t>(now_.slow_ns - before.slow_ns);
  if (balance_ns_ > kMostCreditNs) balance_ns_ = kMostCreditNs;
  if (was_cold) Changed();

  const uint64_t window_ns = now_.ns - window_.ns;
  const uint64_t spent_ns = now_.slow_ns - window_.slow_ns;
  const uint64_t allowed_ns = Share(window_ns);
  const bool evident = spent_ns >= kEvidenceNs || now_.stays - window_.stays >= kEvidenceStays;
  Advice advice;
  if (balance_ns_ < 0 && spent_ns > allowed_ns && evident) {
    const uint64_t factor = 1 + 2 * spent_ns / (allowed_ns + 1);  // half of the budget is left for the debt
    advice.coarser_by = factor < kMostFactor ? factor : kMostFactor;
  } else if (window_ns >= kSettleNs) {
    const uint64_t factor = allowed_ns / (2 * spent_ns + 1);
    if (balance_ns_ >= 0 && factor >= 2) advice.finer_by = factor < kMostFactor ? factor : kMostFactor;
    Changed();
  }
  return advice;
}

}  // namespace memtrace::core
