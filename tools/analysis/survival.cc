#include "tools/analysis/survival.h"

#include <algorithm>
#include <cmath>

namespace memtrace::tools {
namespace {

using format::kOctaves;

// The part of an octave of the work clock that has passed.
struct Span {
  double begin;
  double end;
};
Span WorkOctave(int octave, double now) {
  const auto edge = [](int i) { return i == 0 ? 0.0 : std::ldexp(1.0, format::kWorkOctaveShift - 1 + i); };
  return {edge(octave), octave + 1 < kOctaves ? std::min(edge(octave + 1), now) : now};
}

// Life table over octaves: of the bytes whose age now lies inside an octave, half are taken to have been
// at risk in it.
void KaplanMeier(const SiteHistory& history, int last, Survival* result) {
  std::array<double, kOctaves + 1> reached{};
  for (int i = kOctaves - 1; i >= 0; --i) reached[i] = reached[i + 1] + history.died[i] + history.alive[i];
  double log_survival = 0;
  double variance = 0;
  for (int i = 0; i < kOctaves; ++i) {
    const double died = history.died[i];
    if (died <= 0) continue;
    result->any_death = true;
    const double at_risk = std::max(reached[i] - history.alive[i] / 2, died);
    // What lives now has the same hazard before it again, see never_dies.
    const double times = i >= last - 1 ? 2 : 1;
    if (died >= at_risk) {
      log_survival = -INFINITY;
      break;
    }
    log_survival += times * std::log1p(-died / at_risk);
    // Greenwood's formula on numbers of samples.
    variance += times * times * died / (at_risk * (at_risk - died)) * history.bytes_per_sample;
  }
  result->never_dies = std::exp(log_survival);
  result->log_error = std::sqrt(variance);
}

void Allocation(const SiteHistory& history, int last, double now, Survival* result) {
  const int first = std::max(last - 1, 0);
  double window = 0;
  double earlier = 0;
  for (int i = 0; i <= last; ++i) (i >= first ? window : earlier) += history.allocated[i];
  const double begin = WorkOctave(first, now).begin;
  result->window_begin = static_cast<uint64_t>(begin);
  result->window_share = now > begin ? window / (now - begin) : 0;
  result->earlier_share = begin > 0 ? earlier / begin : result->window_share;
  result->window_samples = window / history.bytes_per_sample;
}

}  // namespace

Survival AnalyseSurvival(const SiteHistory& history, uint64_t work_bytes) {
  Survival result;
  const auto now = static_cast<double>(work_bytes);
  KaplanMeier(history, format::AgeColumn(work_bytes), &result);
  Allocation(history, format::WorkColumn(work_bytes) - kOctaves, now, &result);
  result.growth = result.window_share * result.never_dies;
  result.score = result.growth * now;
  if (result.window_samples > 0) result.log_error = std::hypot(result.log_error, 1 / std::sqrt(result.window_samples));
  return result;
}

}  // namespace memtrace::tools
