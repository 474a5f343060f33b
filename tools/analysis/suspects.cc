#include "tools/analysis/suspects.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "libmemtrace/format/weight.h"
#include "tools/analysis/candidates.h"
#include "tools/analysis/explain.h"
#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

constexpr double kShareOfHeap = 0.05;
constexpr double kShareOfLimit = 0.02;
// Less than this is nobody's problem, and all that a short-lived program has.
constexpr double kSmallestScoreBytes = 64 * 1024;
// The clock's octaves say nothing about a life of less work than this.
constexpr uint64_t kSmallestWorkBytes = uint64_t{512} * 1024;
// Into so many equal parts a suspect may be divided, by unrolled loops and call paths, before one of them is too small
// to be looked at.
constexpr double kMostEqualPlaces = 1024;
// Of the growth of a call path, by one of its places: then the others are suspects of their own.
constexpr double kKept = 0.7;
constexpr double kNormal95 = 1.645;  // one-sided

double Threshold(const SuspectLimits& limits) {
  double threshold = kShareOfHeap * static_cast<double>(limits.live_bytes);
  if (limits.limit_bytes) threshold = std::min(threshold, kShareOfLimit * static_cast<double>(*limits.limit_bytes));
  return std::max(threshold, kSmallestScoreBytes);
}

// What is left of the score when chance worked against us.
double LowScore(const Survival& survival) { return survival.score * std::exp(-kNormal95 * survival.log_error); }

struct AgedBytes {
  uint64_t age_work_bytes;
  uint64_t bytes;
};

// Age on the work clock below which the given share of the site's live bytes is.
std::optional<uint64_t> AgeQuantile(std::span<const AgedBytes> by_age, double share) {
  double total = 0;
  for (const AgedBytes& block : by_age) total += static_cast<double>(block.bytes);
  double sum = 0;
  for (const AgedBytes& block : by_age) {
    sum += static_cast<double>(block.bytes);
    if (sum >= share * total) return block.age_work_bytes;
  }
  return std::nullopt;
}

// What no pointer leads to will never be freed, whatever the statistics say.
bool IsMostlyLost(const Suspect& suspect) {
  return suspect.lost && suspect.lost->bytes > 0 && suspect.lost->bytes >= suspect.live_bytes / 2;
}

// Looks at candidates and keeps those that are suspects.
class Investigation {
 public:
  Investigation(const Profile& profile, const SiteTable& table, FrameTable* frames, const WorkClock& clock,
                const SiteTrend& trend, const SuspectLimits& limits)
      : profile_(profile), table_(table), frames_(frames), clock_(clock), trend_(trend), limits_(limits) {}

  std::vector<Suspect> Run() {
    const Places places(table_, frames_, Threshold(limits_) / kMostEqualPlaces);
    std::vector<double> growth(places.all().list.size());
    std::vector<Found> found = Examine(places.all(), &growth);
    FollowContents(places, &found);
    Condense(places, growth, &found);
    // What is innocent by itself may not be together with its like.
    std::vector<uint32_t> rest = Innocent(places, found);
    for (const Grouping grouping : {Grouping::kPath, Grouping::kFunction})
      Extend(Examine(places.Gather(grouping, rest)), places, &found, &rest);
    std::vector<Found> scattered = Examine(places.Accumulate(rest, growth, Threshold(limits_)));
    for (Found& one : scattered) one.below_point = one.candidate.parts.size() > 1;
    Extend(std::move(scattered), places, &found, &rest);

    for (const Found& one : found) Accuse(places, one);
    std::sort(found_.begin(), found_.end(), RankedBefore);
    const std::vector<std::vector<AgedBytes>> ages = LiveByAge();
    for (size_t i = 0; i < found_.size(); ++i) Conclude(ages[i], &found_[i]);
    return std::move(found_);
  }

 private:
  struct Found {
    Candidate candidate;
    Survival survival;
    SuspectKind kind;
    bool below_point = false;
  };

  static bool RankedBefore(const Suspect& a, const Suspect& b) {
    if (a.kind != b.kind) return a.kind < b.kind;
    return a.survival.score != b.survival.score ? a.survival.score > b.survival.score : a.site < b.site;
  }

  // Those candidates that are suspects. `growth`, if wanted: the growing bytes of each.
  std::vector<Found> Examine(const Candidates& candidates, std::vector<double>* growth = nullptr) const {
    const std::vector<SiteHistory> histories =
        BuildHistories(profile_, table_, candidates.groups, candidates.list.size());
    std::vector<Found> found;
    for (uint32_t i = 0; i < candidates.list.size(); ++i) {
      const Survival survival = AnalyseSurvival(histories[i], profile_.work_bytes, &clock_);
      if (growth != nullptr) (*growth)[i] = survival.score;
      const std::optional<SuspectKind> kind = Judge(survival, limits_);
      if (kind) found.push_back({candidates.list[i], survival, *kind});
    }
    return found;
  }

  // The buffer of a container doubles now and then, which says little about the present; what the container holds, on
  // the same call path, says more.
  void FollowContents(const Places& places, std::vector<Found>* found) const {
    std::vector<uint32_t> parts;
    for (const Found& one : *found) parts.push_back(one.candidate.parts.front());
    for (const Candidate& path : places.Gather(Grouping::kPath, parts).list) {
      const auto on_path = [&](const Found& one) {
        return std::find(path.parts.begin(), path.parts.end(), one.candidate.parts.front()) != path.parts.end();
      };
      const bool filling = std::any_of(found->begin(), found->end(), [&](const Found& one) {
        return on_path(one) && !one.survival.one_buffer && one.kind == SuspectKind::kStillFilling;
      });
      for (Found& one : *found) {
        if (filling && one.survival.one_buffer && on_path(one)) one.kind = SuspectKind::kStillFilling;
      }
    }
  }

  // Suspicious places of one call path and kind are one suspect, unless one of them has nearly all of the growth: an
  // object of many parts is lost as a whole.
  void Condense(const Places& places, const std::vector<double>& growth, std::vector<Found>* found) const {
    for (const SuspectKind kind : {SuspectKind::kGrowing, SuspectKind::kStillFilling}) {
      std::vector<uint32_t> parts;
      for (const Found& one : *found) {
        if (one.kind == kind) parts.push_back(one.candidate.parts.front());
      }
      Candidates together = places.Gather(Grouping::kPath, parts);
      std::erase_if(together.list, [&](const Candidate& candidate) {
        double sum = 0;
        double most = 0;
        for (const uint32_t part : candidate.parts) {
          sum += growth[part];
          most = std::max(most, growth[part]);
        }
        return candidate.parts.size() == 1 || most >= kKept * sum;
      });
      Regroup(&together);
      for (Found& one : Examine(together)) {
        one.kind = kind;  // as its parts were found to be
        std::erase_if(*found, [&](const Found& part) {
          return part.candidate.parts.size() == 1 &&
                 std::binary_search(one.candidate.parts.begin(), one.candidate.parts.end(), part.candidate.parts[0]);
        });
        found->push_back(std::move(one));
      }
    }
  }

  // After candidates were taken from the list.
  void Regroup(Candidates* candidates) const {
    candidates->groups.assign(table_.sites.size(), kNoGroup);
    for (uint32_t i = 0; i < candidates->list.size(); ++i) {
      for (const uint32_t site : candidates->list[i].sites) candidates->groups[site] = i;
    }
  }

  static std::vector<uint32_t> Innocent(const Places& places, const std::vector<Found>& found) {
    std::vector<bool> guilty(places.all().list.size());
    for (const Found& one : found) {
      for (const uint32_t part : one.candidate.parts) guilty[part] = true;
    }
    std::vector<uint32_t> rest;
    for (uint32_t i = 0; i < guilty.size(); ++i) {
      if (!guilty[i]) rest.push_back(i);
    }
    return rest;
  }

  static void Extend(std::vector<Found> more, const Places& places, std::vector<Found>* found,
                     std::vector<uint32_t>* rest) {
    for (Found& one : more) found->push_back(std::move(one));
    *rest = Innocent(places, *found);
  }

  void Accuse(const Places& places, const Found& found) {
    const Candidate& candidate = found.candidate;
    Suspect suspect;
    suspect.id = SuspectId(candidate.name_hash);
    suspect.site = candidate.sites.front();
    suspect.sites = candidate.sites;
    suspect.point = candidate.point;
    suspect.below_point = found.below_point;
    suspect.places = static_cast<uint32_t>(candidate.parts.size());
    suspect.paths = static_cast<uint32_t>(places.CountPaths(candidate.parts));
    suspect.live_bytes = candidate.live_bytes;
    suspect.live_allocations = candidate.live_allocations;
    suspect.lost = LostOf(suspect.sites);
    suspect.kind = IsMostlyLost(suspect) ? SuspectKind::kGrowing : found.kind;  // what is lost fills nothing
    suspect.survival = found.survival;
    if (const auto rate = clock_.BytesPerSecond(found.survival.window_begin))
      suspect.growth_bytes_per_s = *rate * found.survival.growth;
    // Two places that read the same but for their lines.
    while (!ids_.insert(suspect.id).second)
      suspect.id = SuspectId(StableHash(candidate.name_hash).Add(ids_.size()).value());
    found_.push_back(std::move(suspect));
  }

  std::optional<LostBlocks> LostOf(std::span<const uint32_t> sites) const {
    if (!profile_.looked()) return std::nullopt;
    LostBlocks lost;
    for (const uint32_t site : sites) {
      lost.allocations = SaturatingAdd(lost.allocations, table_.sites[site].lost_allocations);
      lost.bytes = SaturatingAdd(lost.bytes, table_.sites[site].lost_bytes);
    }
    return lost;
  }

  // Of each suspect its live blocks, the youngest first: one pass over all there are.
  std::vector<std::vector<AgedBytes>> LiveByAge() const {
    std::vector<uint32_t> found_at(table_.sites.size(), kNoSite);
    for (uint32_t i = 0; i < found_.size(); ++i) {
      for (const uint32_t site : found_[i].sites) found_at[site] = i;
    }
    std::vector<std::vector<AgedBytes>> ages(found_.size());
    for (const LiveBlock& block : profile_.live) {
      const uint32_t site = table_.site_of_node[block.node];
      if (site == kNoSite || found_at[site] == kNoSite) continue;
      ages[found_at[site]].push_back(
          {profile_.work_bytes - block.birth, format::WeightOf(block.size, block.rate_bytes).bytes});
    }
    for (std::vector<AgedBytes>& by_age : ages) {
      std::sort(by_age.begin(), by_age.end(),
                [](const AgedBytes& a, const AgedBytes& b) { return a.age_work_bytes < b.age_work_bytes; });
    }
    return ages;
  }

  void Conclude(std::span<const AgedBytes> by_age, Suspect* suspect) const {
    const SuspectEvidence evidence = CompareWithOlder(*suspect, by_age);
    if (!evidence.points.empty()) suspect->older.assign(evidence.points.begin(), evidence.points.end() - 1);
    suspect->confidence = IsMostlyLost(*suspect) ? Confidence::kConfirmed : ConfidenceOf(*suspect, evidence);
    suspect->why = Explain(*suspect, profile_.work_bytes, limits_, evidence);
    suspect->samples = by_age.size();
    const std::optional<uint64_t> middle = AgeQuantile(by_age, 0.5);
    const std::optional<uint64_t> old = AgeQuantile(by_age, 0.9);
    if (!middle || !old) return;
    suspect->age_p50_s = clock_.SecondsAgo(profile_.work_bytes - *middle);
    suspect->age_p90_s = clock_.SecondsAgo(profile_.work_bytes - *old);
    suspect->age_p90_work = static_cast<double>(*old) / static_cast<double>(profile_.work_bytes);
  }

  SuspectEvidence CompareWithOlder(const Suspect& suspect, std::span<const AgedBytes> by_age) const {
    SuspectEvidence evidence;
    if (trend_.empty()) return evidence;
    std::vector<uint64_t> ids;
    for (const uint32_t site : suspect.sites) ids.push_back(table_.sites[site].id);
    evidence.points = trend_.Of(ids);
    evidence.points.push_back({static_cast<double>(profile_.header.end_ns) / 1e9, suspect.live_bytes});
    evidence.trend = JudgeTrend(evidence.points);
    uint64_t still_there = 0;
    for (const AgedBytes& block : by_age) {
      const bool older = profile_.work_bytes - block.age_work_bytes <= trend_.first_work_bytes();
      if (older) still_there = SaturatingAdd(still_there, block.bytes);
    }
    const uint64_t then = evidence.points.front().live_bytes;
    if (then > 0) evidence.still_there = std::min(static_cast<double>(still_there) / static_cast<double>(then), 1.0);
    return evidence;
  }

  Confidence ConfidenceOf(const Suspect& suspect, const SuspectEvidence& evidence) const {
    const Survival& survival = suspect.survival;
    const bool replaced = evidence.still_there && *evidence.still_there < 0.5 && !survival.one_buffer;
    if (evidence.trend == TrendWord::kFalling || replaced || limits_.building_up) return Confidence::kPossible;
    const bool filling = suspect.kind == SuspectKind::kStillFilling;  // rises too, and is not confirmed by that
    const bool may_fill = !filling && survival.slowing == Slowing::kMaybe;
    if (evidence.trend == TrendWord::kRising && !filling)
      return may_fill ? Confidence::kLikely : Confidence::kConfirmed;
    const bool sure = LowScore(survival) >= Threshold(limits_) && survival.window_events >= 4 * kFewestSamples;
    return sure && !may_fill ? Confidence::kLikely : Confidence::kPossible;
  }

  const Profile& profile_;
  const SiteTable& table_;
  FrameTable* const frames_;
  const WorkClock& clock_;
  const SiteTrend& trend_;
  const SuspectLimits& limits_;
  std::vector<Suspect> found_;
  std::set<std::string> ids_;
};

// How deep two stacks agree, seen from their outermost frames.
size_t CommonBeginning(std::span<const uint32_t> a, std::span<const uint32_t> b) {
  size_t common = 0;
  while (common < std::min(a.size(), b.size()) && a[a.size() - 1 - common] == b[b.size() - 1 - common]) ++common;
  return common;
}

void Relate(const SiteTable& table, FrameTable* frames, std::vector<Suspect>* suspects) {
  constexpr size_t kMostCompared = 50;
  const size_t compared = std::min(suspects->size(), kMostCompared);
  std::vector<std::vector<uint32_t>> stacks;
  for (size_t i = 0; i < compared; ++i) stacks.push_back(frames->Stack(table.sites[(*suspects)[i].site].node));
  for (size_t i = 0; i < compared; ++i) {
    std::vector<Relation>& related = (*suspects)[i].related;
    for (size_t j = 0; j < compared; ++j) {
      const size_t common = i == j ? 0 : CommonBeginning(stacks[i], stacks[j]);
      if (common * 2 > std::min(stacks[i].size(), stacks[j].size())) related.push_back({(*suspects)[j].id, common});
    }
    std::stable_sort(related.begin(), related.end(),
                     [](const Relation& a, const Relation& b) { return a.frames > b.frames; });
  }
}

}  // namespace

std::string_view Name(SuspectKind kind) { return Name(BehaviourOf(kind)); }

Behaviour BehaviourOf(SuspectKind kind) {
  return kind == SuspectKind::kGrowing ? Behaviour::kGrowing : Behaviour::kStillFilling;
}

std::string_view Name(Confidence confidence) {
  static constexpr std::string_view kNames[] = {"possible", "likely", "confirmed"};
  return kNames[static_cast<size_t>(confidence)];
}

std::string PlaceOf(const Suspect& suspect, const SiteTable& table, FrameTable* frames) {
  const std::vector<uint32_t> stack = frames->Stack(table.sites[suspect.site].node);
  return suspect.point < stack.size() ? FrameText(frames->frame(stack[suspect.point])) : "an unknown stack";
}

std::optional<SuspectKind> Judge(const Survival& survival, const SuspectLimits& limits) {
  const double threshold = Threshold(limits);
  const bool grows = survival.score >= threshold && LowScore(survival) >= threshold * 0.8;
  const bool enough = survival.one_buffer || survival.window_samples >= kFewestSamples;
  // A small part of it grows on: what is left of building it up, or noise.
  const bool settled = survival.behaviour == Behaviour::kStartUp || survival.behaviour == Behaviour::kBounded ||
                       survival.behaviour == Behaviour::kSteadyTurnover;
  if (!grows || !enough || settled) return std::nullopt;
  const bool filling = survival.behaviour == Behaviour::kStillFilling || limits.building_up;
  return filling ? SuspectKind::kStillFilling : SuspectKind::kGrowing;
}

std::vector<Suspect> FindSuspects(const Profile& profile, const SiteTable& table, FrameTable* frames,
                                  const WorkClock& clock, const SiteTrend& trend, const SuspectLimits& limits) {
  if (profile.work_bytes < kSmallestWorkBytes) return {};
  std::vector<Suspect> suspects = Investigation(profile, table, frames, clock, trend, limits).Run();
  Relate(table, frames, &suspects);
  return suspects;
}

}  // namespace memtrace::tools
