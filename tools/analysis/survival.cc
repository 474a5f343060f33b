#include "tools/analysis/survival.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace memtrace::tools {
namespace {

using format::kOctaves;

struct BehaviourText {
  std::string_view name;
  std::string_view words;
};
constexpr BehaviourText kBehaviours[] = {
    {"unknown", "unknown"},
    {"growing", "growing without bound"},
    {"still-filling", "still filling"},
    {"bounded", "bounded"},
    {"start-up", "start-up"},
    {"steady-turnover", "steady turnover"},
};

// What never frees and comes this much more slowly than before is filling something up.
constexpr double kSlowingDown = 0.7;
constexpr double kSlowerToo = 0.85;  // on the wall clock, where no more is asked than that it does not contradict
// In less time the wall clock says more about the scheduler than about the program.
constexpr double kFewestSeconds = 5;
// Survivors come this much more slowly than in the window as a whole: they have stopped coming.
constexpr double kStopped = 0.25;
// One-sided. That nothing comes any more acquits, so it must be sure. That less comes does so half: two tests at 1 in
// 10,000 leave a steady leak alone, and what one of 20 shows is a doubt that is told.
constexpr double kNormal99 = 2.33;
constexpr double kNormal95 = 1.645;
constexpr double kNormal9999 = 3.72;
// A site of which less than this part of what lives now grows has a steady turnover.
constexpr double kGrowingPart = 0.2;
// The clock's octaves say nothing about a life of less work than this.
constexpr double kSmallestWork = 512 * 1024;
// Fewer recorded blocks say nothing about what becomes of the others.
constexpr double kFewestBlocks = 8;
// What never died and is all younger than this part of the work has not had the time to: the code behind it has just
// been reached, or compiled anew.
constexpr double kTooYoung = 1.0 / 16;

double Sum(const std::array<double, kOctaves>& bytes) { return std::accumulate(bytes.begin(), bytes.end(), 0.0); }

double AgeEdge(int octave) { return octave == 0 ? 0 : std::ldexp(1.0, format::kAgeOctaveShift - 1 + octave); }
double WorkEdge(int octave) { return octave == 0 ? 0 : std::ldexp(1.0, format::kWorkOctaveShift - 1 + octave); }

// Survival to the beginning of each octave of age.
using Curve = std::array<double, kOctaves + 1>;

// Life table over octaves. What lives now in an octave is taken to leave the view at its beginning, before the deaths
// in it: blocks that are all replaced after the same time would else seem to survive it in part.
Curve KaplanMeier(const SiteHistory& history, int last, Survival* result) {
  std::array<double, kOctaves + 1> reached{};
  for (int i = kOctaves - 1; i >= 0; --i) reached[i] = reached[i + 1] + history.died[i] + history.alive[i];
  Curve curve{};
  curve[0] = 1;
  double hazard_to_come = 0;
  double variance = 0;
  for (int i = 0; i < kOctaves; ++i) {
    const double died = history.died[i];
    const double at_risk = std::max(reached[i] - history.alive[i], died);
    curve[i + 1] = died > 0 ? curve[i] * (1 - died / at_risk) : curve[i];
    if (died <= 0) continue;
    result->any_death = true;
    if (died >= at_risk) break;
    // What lives now has the hazard of the last two octaves before it again.
    if (i >= last - 1) hazard_to_come -= std::log1p(-died / at_risk);
    const double times = i >= last - 1 ? 2 : 1;
    // Greenwood's formula on numbers of samples.
    variance += times * times * died / (at_risk * (at_risk - died)) * history.bytes_per_sample;
  }
  result->never_dies = curve[kOctaves] * std::exp(-hazard_to_come);
  result->log_error = std::sqrt(variance);
  return curve;
}

void Allocation(const SiteHistory& history, int last, double now, Survival* result) {
  const int first = std::max(last - 1, 0);
  double window = 0;
  double earlier = 0;
  for (int i = 0; i <= last; ++i) (i >= first ? window : earlier) += history.allocated[i];
  const double begin = WorkEdge(first);
  result->window_begin = static_cast<uint64_t>(begin);
  result->window_share = now > begin ? window / (now - begin) : 0;
  result->earlier_share = begin > 0 ? earlier / begin : result->window_share;
  result->window_samples = window / history.bytes_per_sample;
}

// Survivors per byte of work, by when they were born: those alive, each with the chance that it never dies.
struct Survivors {
  double latest = 0;  // born in the last quarter or eighth of the work
  double before = 0;  // in the time between three and one of these ago
  double all = 0;     // in two of them
  double span = 0;    // of `latest`, on the work clock
};
Survivors SurvivorsByBirth(const SiteHistory& history, const Curve& curve, double never_dies, uint64_t work_bytes) {
  Survivors survivors;
  survivors.span = RecentSpan(work_bytes);
  int edge = 0;
  while (AgeEdge(edge) < survivors.span) ++edge;
  const auto born = [&](int first, int end) {
    double sum = 0;
    for (int i = first; i < end; ++i) {
      if (history.alive[i] > 0 && curve[i] > 0) sum += history.alive[i] * std::min(never_dies / curve[i], 1.0);
    }
    return sum;
  };
  if (survivors.span <= 0) return survivors;
  survivors.latest = born(0, edge) / survivors.span;
  survivors.before = born(edge, edge + 2) / (3 * survivors.span);
  survivors.all = born(0, edge + 1) / (2 * survivors.span);
  return survivors;
}

// What the growth rests on where few of the newcomers that are still there were recorded: as much error as brings it
// down to the lower end (95 %) of what these say.
double ErrorOfNewcomers(const Survivors& survivors, const SiteHistory& history, double growth) {
  const double samples = survivors.all * 2 * survivors.span / history.bytes_per_sample;
  return samples > 0 ? 1 / std::sqrt(samples) - std::log(survivors.all / growth) / kNormal95 : INFINITY;
}

// Bytes in two stretches of time, the later one up to now, and how long these were.
struct Stretch {
  double bytes;
  double length;
};
// Of a sum of independent events the part `seen` where `expected` was: its share in the deviance.
double DeviancePart(double seen, double expected) { return seen > 0 ? seen * std::log(seen / expected) : 0; }

// By how many standard errors fewer came lately than `share` of the flow before; 0 if not fewer. `event_bytes`: what
// came at a time, of which the numbers are taken to be Poisson's: the signed root of the likelihood ratio, which is
// nearly normal also where the numbers are small.
double StandardErrorsBelow(double share, Stretch latest, Stretch before, double event_bytes) {
  if (before.length <= 0 || latest.length <= 0) return 0;
  const double seen = latest.bytes / event_bytes;
  const double earlier = before.bytes / event_bytes;
  const double part = share * latest.length / (share * latest.length + before.length);
  const double expected = part * (seen + earlier);
  if (seen >= expected) return 0;
  const double deviance = DeviancePart(seen, expected) + DeviancePart(earlier, seen + earlier - expected);
  return std::sqrt(std::max(2 * deviance, 0.0));
}

// What comes at a time: a recorded block, or more where blocks come in bursts. The variance of neighbouring parts
// (Allan 1966) over what it were if single blocks came; a slow change of the rate does not count.
double EventBytes(const SiteHistory& history) {
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kRecentParts; ++i) {
    sum += history.recent[i];
    if (i > 0) squares += (history.recent[i] - history.recent[i - 1]) * (history.recent[i] - history.recent[i - 1]);
  }
  if (sum <= 0) return history.bytes_per_sample;
  const double variance = squares / (2 * (kRecentParts - 1));
  return std::max(history.bytes_per_sample, variance / (sum / kRecentParts));
}

// Whether much less comes in the last stretch of the work clock than in the one before it. That the process did more
// beside it is no reason: on the wall clock it must be less too.
class Slowdown {
 public:
  Slowdown(double now, double event_bytes, const WorkClock* clock)
      : now_(now), event_bytes_(event_bytes), clock_(clock) {}

  // The stretches are [begin, middle) and [middle, now) on the work clock; bytes per byte of work in each.
  Slowing Between(double begin, double middle, double before, double latest) const {
    if (latest >= kSlowingDown * before) return Slowing::kNo;
    const Stretch old{before * (middle - begin), middle - begin};
    const Stretch young{latest * (now_ - middle), now_ - middle};
    const double errors = StandardErrorsBelow(1, young, old, event_bytes_);
    if (errors < kNormal95 || IsOnlyByTheWork(begin, middle, young, old)) return Slowing::kNo;
    return errors < kNormal9999 ? Slowing::kMaybe : Slowing::kClearly;
  }

 private:
  bool IsOnlyByTheWork(double begin, double middle, Stretch young, Stretch old) const {
    if (clock_ == nullptr || SecondsAgo(begin) < kFewestSeconds) return false;
    const double since_middle = SecondsAgo(middle);
    const double until_middle = SecondsAgo(begin) - since_middle;
    return young.bytes * until_middle > kSlowerToo * old.bytes * since_middle;
  }
  double SecondsAgo(double work) const { return clock_->SecondsAgo(static_cast<uint64_t>(std::max(work, 0.0))); }

  double now_;
  double event_bytes_;
  const WorkClock* clock_;
};

// At most so many bytes per byte of work can have come to stay lately: what is live now, less what was then. Of the
// present octave of the work clock and the one before, the faster counts, for a site that swings. No margin for
// sampling: what was sampled and has died since is in neither of the two.
double NetGrowth(const SiteHistory& history, double now) {
  const int present = format::WorkColumn(static_cast<uint64_t>(now)) - kOctaves;
  double fastest = 0;
  for (int i = 0; i < 2; ++i) {
    const double span = now - WorkEdge(std::max(present - i, 0));
    if (span >= now / 8) fastest = std::max(fastest, history.grown[i] / span);
  }
  return fastest;
}

// The signature of a container that is replaced by a larger one: hardly ever more than one block alive, much larger
// than they were on average; and that went on lately. One that grows by a factor is a good part of all bytes that the
// site ever allocated. One that grows by steps is not: it ends twice as large as it was on average, after many steps,
// and takes a larger part of the work from step to step, until it has nearly all.
bool IsOneBuffer(const SiteHistory& history, const Survival& survival, double live, double ever, double now) {
  if (live <= 0 || history.live_blocks > 2.5) return false;
  const double times_the_average = live / history.live_blocks * history.allocations / ever;
  const bool by_a_factor = times_the_average >= 2.5 && ((history.allocations >= 4 && ever <= 4 * live) ||
                                                        (history.allocations >= 16 && ever <= 12 * live));
  const bool takes_more = survival.window_share > 0.5 || survival.window_share > 1.3 * survival.earlier_share;
  const bool by_steps = times_the_average >= 1.9 && history.allocations >= 64 && takes_more;
  if (!by_a_factor && !by_steps) return false;
  double young = 0;
  for (int i = 0; i < kOctaves && AgeEdge(i) < 0.6 * now; ++i) young += history.alive[i];
  double early = 0;
  for (int i = 0; i < kOctaves && WorkEdge(i + 1) < now / 4; ++i) early += history.allocated[i];
  return young > live / 2 && early < ever / 2;
}

bool IsTooYoung(const SiteHistory& history, bool any_death, double now) {
  if (any_death) return false;
  int oldest = kOctaves - 1;
  while (oldest > 0 && history.alive[oldest] <= 0) --oldest;
  return oldest + 1 < kOctaves && AgeEdge(oldest + 1) <= kTooYoung * now;
}

// Less is allocated, where nothing has died; or less of what is allocated stays. The clearer of the two.
void FindSlowing(const SiteHistory& history, const Survivors& survivors, double now, const WorkClock* clock,
                 Survival* result) {
  const Slowdown slowdown(now, EventBytes(history), clock);
  const auto begin = static_cast<double>(result->window_begin);
  const double latest = now - survivors.span;
  const Slowing of_all =
      result->any_death ? Slowing::kNo : slowdown.Between(0, begin, result->earlier_share, result->window_share);
  const Slowing of_stayers = slowdown.Between(latest - 3 * survivors.span, latest, survivors.before, survivors.latest);
  result->slowing = std::max(of_all, of_stayers);
  result->fewer_stay = of_stayers > of_all;
  result->faster = result->fewer_stay ? survivors.before : result->earlier_share;
  result->slower = result->fewer_stay ? survivors.latest : result->window_share;
}

Behaviour Classify(const SiteHistory& history, const Survival& survival, double live, double now) {
  if (survival.one_buffer) return Behaviour::kGrowing;
  if (now < kSmallestWork || live < kFewestBlocks * history.bytes_per_sample ||
      IsTooYoung(history, survival.any_death, now))
    return Behaviour::kUnknown;
  if (survival.score < kGrowingPart * live) {
    double old = 0;
    for (int i = 0; i < kOctaves; ++i) {
      if (AgeEdge(i) * 2 >= now || AgeEdge(i + 1) > now) old += history.alive[i];
    }
    return old > 0.8 * live     ? Behaviour::kStartUp
           : survival.any_death ? Behaviour::kSteadyTurnover
                                : Behaviour::kBounded;
  }
  return survival.slowing == Slowing::kClearly ? Behaviour::kStillFilling : Behaviour::kGrowing;
}

}  // namespace

double RecentSpan(uint64_t work_bytes) {
  int edge = 0;  // the oldest age that four times fits into the work
  while (edge + 1 < kOctaves - 2 && 4 * AgeEdge(edge + 1) <= static_cast<double>(work_bytes)) ++edge;
  return AgeEdge(edge);
}

std::string_view Name(Behaviour behaviour) { return kBehaviours[static_cast<size_t>(behaviour)].name; }
std::string_view Words(Behaviour behaviour) { return kBehaviours[static_cast<size_t>(behaviour)].words; }

Survival AnalyseSurvival(const SiteHistory& history, uint64_t work_bytes, const WorkClock* clock) {
  Survival result;
  const auto now = static_cast<double>(work_bytes);
  const Curve curve = KaplanMeier(history, format::AgeColumn(work_bytes), &result);
  Allocation(history, format::WorkColumn(work_bytes) - kOctaves, now, &result);
  const Survivors survivors = SurvivorsByBirth(history, curve, result.never_dies, work_bytes);
  // Three ways to the same number: what comes, times the share that stays; what of the newcomers is still there; and by
  // how much there is more than before. A leak passes all of them.
  result.growth = std::min({result.window_share * result.never_dies, survivors.all, NetGrowth(history, now)});
  const double usual = std::max(survivors.all, survivors.before);
  const Stretch latest{survivors.latest * survivors.span, survivors.span};
  const Stretch before{usual * 2 * survivors.span, 2 * survivors.span};
  const bool stopped = StandardErrorsBelow(kStopped, latest, before, history.bytes_per_sample) > kNormal99;
  if (stopped || IsTooYoung(history, result.any_death, now)) result.growth = 0;
  const double live = Sum(history.alive);
  const double ever = live + Sum(history.died);
  result.one_buffer = IsOneBuffer(history, result, live, ever, now);
  if (result.one_buffer && now > 0) {
    result.growth = live / now;
    result.never_dies = live / ever;
    result.log_error = 0;
  }
  result.score = result.growth * now;
  if (result.window_samples > 0 && !result.one_buffer)
    result.log_error = std::hypot(result.log_error, 1 / std::sqrt(result.window_samples));
  if (result.growth > 0 && !result.one_buffer)
    result.log_error = std::max(result.log_error, ErrorOfNewcomers(survivors, history, result.growth));
  result.window_events = result.window_samples * history.bytes_per_sample / EventBytes(history);
  if (!result.one_buffer) FindSlowing(history, survivors, now, clock, &result);
  result.behaviour = Classify(history, result, live, now);
  return result;
}

}  // namespace memtrace::tools
