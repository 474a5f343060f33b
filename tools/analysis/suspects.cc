#include "tools/analysis/suspects.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "libmemtrace/format/weight.h"
#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

constexpr double kShareOfHeap = 0.05;
constexpr double kShareOfLimit = 0.02;
// Less than this is nobody's problem, and all that a short-lived program has.
constexpr double kSmallestScoreBytes = 64 * 1024;
// The clock's octaves say nothing about a life of less work than this.
constexpr uint64_t kSmallestWorkBytes = uint64_t{512} * 1024;
constexpr double kFewestSamples = 8;
// Into so many equal parts an unrolled loop may divide a suspect before one of them is too small to be looked at.
constexpr double kMostEqualStacks = 64;
constexpr double kNormal95 = 1.645;  // one-sided
// A site that never frees and allocates this much less than before is filling something up.
constexpr double kSlowingDown = 0.7;

double Threshold(const SuspectLimits& limits) {
  double threshold = kShareOfHeap * static_cast<double>(limits.live_bytes);
  if (limits.limit_bytes) threshold = std::min(threshold, kShareOfLimit * static_cast<double>(*limits.limit_bytes));
  return std::max(threshold, kSmallestScoreBytes);
}

// What is left of the score when chance worked against us.
double LowScore(const Survival& survival) { return survival.score * std::exp(-kNormal95 * survival.log_error); }

Confidence ConfidenceOf(const Survival& survival, const SuspectLimits& limits, std::span<const uint64_t> older,
                        uint64_t live_bytes) {
  bool rising = older.size() >= 2;
  for (size_t i = 0; i < older.size(); ++i) rising &= older[i] < (i + 1 < older.size() ? older[i + 1] : live_bytes);
  if (rising) return Confidence::kConfirmed;
  return LowScore(survival) >= Threshold(limits) && survival.window_samples >= 4 * kFewestSamples
             ? Confidence::kLikely
             : Confidence::kPossible;
}

std::string Explain(const Suspect& suspect, uint64_t work_bytes, std::span<const uint64_t> older) {
  const Survival& s = suspect.survival;
  std::string text = fmt::format("Of all bytes that the program allocated lately, {} came from here, and {} of them {}",
                                 FormatShare(s.window_share), FormatShare(s.never_dies),
                                 s.any_death ? "will never be freed" : "were never freed");
  text +=
      suspect.growth_bytes_per_s
          ? fmt::format(": {}/s of growth.", FormatBytes(RoundToUint(*suspect.growth_bytes_per_s)))
          : fmt::format(": {} per {} allocated.", FormatBytes(RoundToUint(s.growth * 1048576)), FormatBytes(1048576));
  if (suspect.kind == SuspectKind::kStillFilling) {
    text += fmt::format(
        " Nothing of it has died yet, but its share of all allocation fell from {} to {}: more like a "
        "cache or table that is still filling than a leak.",
        FormatShare(s.earlier_share), FormatShare(s.window_share));
  } else if (!s.any_death) {
    text += fmt::format(
        " In {} of allocation nothing of it has died, and its rate does not fall; a cache that has not begun "
        "to evict would look the same.",
        FormatBytes(work_bytes));
  }
  if (suspect.confidence == Confidence::kConfirmed) {
    text += fmt::format(" It grew from snapshot to snapshot: {} in the first, {} now.", FormatBytes(older.front()),
                        FormatBytes(suspect.live_bytes));
  }
  return text;
}

struct AgedBytes {
  uint64_t age_work_bytes;
  uint64_t bytes;
};

// Age in seconds below which the given share of the site's live bytes is.
std::optional<double> AgeQuantile(std::span<const AgedBytes> by_age, double share, uint64_t now,
                                  const WorkClock& clock) {
  double total = 0;
  for (const AgedBytes& block : by_age) total += static_cast<double>(block.bytes);
  double sum = 0;
  for (const AgedBytes& block : by_age) {
    sum += static_cast<double>(block.bytes);
    if (sum >= share * total) return clock.SecondsAgo(now - block.age_work_bytes);
  }
  return std::nullopt;
}

// Candidates whose stacks have the same names are one: to the reader an unrolled loop is one place.
struct Candidate {
  uint64_t name_hash;
  std::vector<uint32_t> sites;  // the largest first, as the table is sorted
  uint64_t live_bytes = 0;
  uint64_t live_allocations = 0;
};

struct Candidates {
  std::vector<Candidate> list;
  SiteGroups groups;  // per site the index into list
};

// What never dies is alive, so what holds little cannot score. `smallest_bytes` bounds how many stacks need names.
Candidates Gather(const SiteTable& table, FrameTable* frames, double smallest_bytes) {
  Candidates candidates;
  candidates.groups.assign(table.sites.size(), kNoGroup);
  std::unordered_map<uint64_t, uint32_t> known;
  for (uint32_t i = 0; i < table.sites.size(); ++i) {
    const Site& site = table.sites[i];
    if (static_cast<double>(site.live_bytes) < smallest_bytes) break;  // sorted by live bytes
    const uint64_t hash = HashNames(*frames, frames->Stack(site.node));
    const auto [found, added] = known.try_emplace(hash, static_cast<uint32_t>(candidates.list.size()));
    if (added) candidates.list.push_back({.name_hash = hash, .sites = {}});
    Candidate& candidate = candidates.list[found->second];
    candidates.groups[i] = found->second;
    candidate.sites.push_back(i);
    candidate.live_bytes = SaturatingAdd(candidate.live_bytes, site.live_bytes);
    candidate.live_allocations = SaturatingAdd(candidate.live_allocations, site.live_allocations);
  }
  return candidates;
}

std::vector<uint64_t> SiteIds(const SiteTable& table, const Candidate& candidate) {
  std::vector<uint64_t> ids;
  for (const uint32_t site : candidate.sites) ids.push_back(table.sites[site].id);
  return ids;
}

void AddAges(const Profile& profile, const SiteTable& table, const SiteGroups& groups, const WorkClock& clock,
             std::vector<Suspect>* suspects) {
  std::unordered_map<uint32_t, std::vector<AgedBytes>> ages;  // by group
  for (const Suspect& suspect : *suspects) ages[groups[suspect.site]];
  for (const LiveBlock& block : profile.live) {
    const auto found = ages.find(groups[table.site_of_node[block.node]]);
    if (found == ages.end()) continue;
    found->second.push_back({profile.work_bytes - block.birth, format::WeightOf(block.size, block.rate_bytes).bytes});
  }
  for (Suspect& suspect : *suspects) {
    std::vector<AgedBytes>& by_age = ages[groups[suspect.site]];
    std::sort(by_age.begin(), by_age.end(),
              [](const AgedBytes& a, const AgedBytes& b) { return a.age_work_bytes < b.age_work_bytes; });
    suspect.age_p50_s = AgeQuantile(by_age, 0.5, profile.work_bytes, clock);
    suspect.age_p90_s = AgeQuantile(by_age, 0.9, profile.work_bytes, clock);
  }
}

}  // namespace

std::string_view Name(SuspectKind kind) { return kind == SuspectKind::kGrowing ? "growing" : "still-filling"; }

std::string_view Name(Confidence confidence) {
  static constexpr std::string_view kNames[] = {"possible", "likely", "confirmed"};
  return kNames[static_cast<size_t>(confidence)];
}

void SiteTrend::Append(const SiteTable& table) {
  auto& state = states_.emplace_back();
  for (const Site& site : table.sites) state.emplace_back(site.id, site.live_bytes);
  std::sort(state.begin(), state.end());
}

std::vector<uint64_t> SiteTrend::Of(std::span<const uint64_t> site_ids) const {
  std::vector<uint64_t> live;
  for (const auto& state : states_) {
    uint64_t sum = 0;
    for (const uint64_t id : site_ids) {
      const auto found = std::lower_bound(state.begin(), state.end(), std::pair{id, uint64_t{0}});
      if (found != state.end() && found->first == id) sum = SaturatingAdd(sum, found->second);
    }
    live.push_back(sum);
  }
  return live;
}

std::optional<SuspectKind> Judge(const Survival& survival, const SuspectLimits& limits) {
  const double threshold = Threshold(limits);
  const bool grows = survival.score >= threshold && LowScore(survival) >= threshold * 0.8;
  if (!grows || survival.window_samples < kFewestSamples) return std::nullopt;
  const bool slows_down = survival.window_share < kSlowingDown * survival.earlier_share;
  return !survival.any_death && slows_down ? SuspectKind::kStillFilling : SuspectKind::kGrowing;
}

std::vector<Suspect> FindSuspects(const Profile& profile, const SiteTable& table, FrameTable* frames,
                                  const WorkClock& clock, const SiteTrend& trend, const SuspectLimits& limits) {
  std::vector<Suspect> suspects;
  if (profile.work_bytes < kSmallestWorkBytes) return suspects;
  const Candidates candidates = Gather(table, frames, Threshold(limits) / kMostEqualStacks);
  const std::vector<SiteHistory> histories = BuildHistories(profile, table, candidates.groups, candidates.list.size());
  for (size_t i = 0; i < candidates.list.size(); ++i) {
    const Survival survival = AnalyseSurvival(histories[i], profile.work_bytes);
    const std::optional<SuspectKind> kind = Judge(survival, limits);
    if (!kind) continue;
    const Candidate& candidate = candidates.list[i];
    Suspect suspect;
    suspect.id = SuspectId(candidate.name_hash);
    suspect.site = candidate.sites.front();
    suspect.live_bytes = candidate.live_bytes;
    suspect.live_allocations = candidate.live_allocations;
    suspect.kind = *kind;
    suspect.survival = survival;
    const std::vector<uint64_t> older = trend.Of(SiteIds(table, candidate));
    suspect.confidence = ConfidenceOf(survival, limits, older, candidate.live_bytes);
    if (const auto rate = clock.BytesPerSecond(survival.window_begin))
      suspect.growth_bytes_per_s = *rate * survival.growth;
    suspect.why = Explain(suspect, profile.work_bytes, older);
    suspects.push_back(std::move(suspect));
  }
  std::sort(suspects.begin(), suspects.end(), [](const Suspect& a, const Suspect& b) {
    if (a.kind != b.kind) return a.kind < b.kind;
    return a.survival.score != b.survival.score ? a.survival.score > b.survival.score : a.site < b.site;
  });
  AddAges(profile, table, candidates.groups, clock, &suspects);
  return suspects;
}

}  // namespace memtrace::tools
