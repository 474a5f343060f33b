#include "tools/analysis/sites.h"

#include <algorithm>
#include <unordered_map>

#include "libmemtrace/format/weight.h"
#include "tools/common/numbers.h"
#include "tools/symbols/frames.h"

namespace memtrace::tools {
namespace {

// Recorded sites with equal frames, added up; counts still fixed-point.
std::vector<Site> MergeByFrames(const Profile& profile, std::vector<uint32_t>* site_of_node) {
  const std::vector<uint64_t> hashes = HashStacks(profile);
  std::unordered_map<uint64_t, uint32_t> known;
  std::vector<Site> sites;
  site_of_node->assign(profile.nodes.size(), kNoSite);
  for (const SiteCounts& counts : profile.sites) {
    const auto [found, added] = known.try_emplace(hashes[counts.node], static_cast<uint32_t>(sites.size()));
    if (added) {
      Site& fresh = sites.emplace_back();
      fresh.id = hashes[counts.node];
      fresh.node = counts.node;
    }
    (*site_of_node)[counts.node] = found->second;
    Site& site = sites[found->second];
    site.allocations = SaturatingAdd(site.allocations, counts.alloc_count_q16);
    site.allocated_bytes = SaturatingAdd(site.allocated_bytes, counts.alloc_bytes);
    site.temporary_allocations = SaturatingAdd(site.temporary_allocations, counts.temporary_count_q16);
    site.peak_bytes = SaturatingAdd(site.peak_bytes, counts.peak_bytes);
  }
  return sites;
}

// What a block of the site's average size stands for at the current interval.
double AverageWeight(const Site& site, uint64_t rate_bytes) {
  if (site.allocations == 0) return 1;
  const double size =
      static_cast<double>(site.allocated_bytes) * format::kCountOne / static_cast<double>(site.allocations);
  return static_cast<double>(std::max<uint64_t>(format::WeightOf(RoundToUint(size), rate_bytes).bytes, 1));
}

void Finish(const LiveEstimate& live, uint64_t rate_bytes, Site* site) {
  const double average = AverageWeight(*site, rate_bytes);
  site->allocations = format::RoundedCount(site->allocations);
  site->temporary_allocations = format::RoundedCount(site->temporary_allocations);
  site->live_bytes = live.bytes();
  site->live_allocations = live.allocations();
  site->live_bytes_ci95 = live.Interval95();
  site->bytes_per_sample = std::max(average, live.BytesPerSample());
  const double size =
      site->allocations > 0 ? static_cast<double>(site->allocated_bytes) / static_cast<double>(site->allocations) : 0;
  const bool may_hide = live.samples() == 0 && site->allocations > 0 && size < static_cast<double>(rate_bytes);
  if (may_hide && rate_bytes > 1) site->live_bytes_ci95.high = UnseenUpperBound(average);
}

// A cell may be claimed by an event that was then never counted: nobody allocated there.
bool CountsNothing(const Site& site, const LiveEstimate& live) {
  return live.samples() == 0 &&
         (site.allocations | site.allocated_bytes | site.temporary_allocations | site.peak_bytes) == 0;
}

bool ShownBefore(const Site& a, const Site& b) {
  if (a.live_bytes != b.live_bytes) return a.live_bytes > b.live_bytes;
  if (a.allocated_bytes != b.allocated_bytes) return a.allocated_bytes > b.allocated_bytes;
  return a.id < b.id;
}

// Per group the mean over its live bytes, as LiveEstimate has it over the blocks of one site.
std::vector<double> BytesPerSample(const SiteTable& table, const SiteGroups& groups, size_t count) {
  std::vector<double> sums(count);
  std::vector<double> weights(count);
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i] == kNoGroup) continue;
    const Site& site = table.sites[i];
    const double weight = std::max(static_cast<double>(site.live_bytes), 1.0);
    sums[groups[i]] += weight * site.bytes_per_sample;
    weights[groups[i]] += weight;
  }
  for (size_t i = 0; i < count; ++i) sums[i] = weights[i] > 0 ? sums[i] / weights[i] : 1;
  return sums;
}

}  // namespace

SiteTable BuildSites(const Profile& profile) {
  SiteTable table;
  std::vector<Site> merged = MergeByFrames(profile, &table.site_of_node);
  std::vector<LiveEstimate> live(merged.size());
  std::vector<LiveEstimate> lost(merged.size());
  for (const LiveBlock& block : profile.live) {
    const uint32_t site = table.site_of_node[block.node];
    live[site].Add(block.size, block.rate_bytes);
    if (block.lost) lost[site].Add(block.size, block.rate_bytes);
  }
  const uint64_t rate_bytes = profile.CoarsestRate();

  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < merged.size(); ++i) {
    if (CountsNothing(merged[i], live[i])) continue;
    Finish(live[i], rate_bytes, &merged[i]);
    merged[i].lost_bytes = lost[i].bytes();
    merged[i].lost_allocations = lost[i].allocations();
    order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return ShownBefore(merged[a], merged[b]); });
  std::vector<uint32_t> rank(merged.size(), kNoSite);
  for (const uint32_t old : order) {
    rank[old] = static_cast<uint32_t>(table.sites.size());
    table.sites.push_back(merged[old]);
  }
  for (uint32_t& site : table.site_of_node) {
    if (site != kNoSite) site = rank[site];
  }
  return table;
}

void ResolveStacks(const SiteTable& table, FrameTable* frames) {
  std::vector<uint32_t> nodes;
  nodes.reserve(table.sites.size());
  for (const Site& site : table.sites) nodes.push_back(site.node);
  frames->ResolveAll(nodes);
}

std::vector<SiteHistory> BuildHistories(const Profile& profile, const SiteTable& table, const SiteGroups& groups,
                                        size_t count) {
  std::vector<SiteHistory> histories(count);
  const std::vector<double> bytes_per_sample = BytesPerSample(table, groups, count);
  for (size_t i = 0; i < count; ++i) histories[i].bytes_per_sample = bytes_per_sample[i];
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i] == kNoGroup) continue;
    histories[groups[i]].allocations += static_cast<double>(table.sites[i].allocations);
    histories[groups[i]].live_blocks += static_cast<double>(table.sites[i].live_allocations);
  }
  const auto history_of = [&](uint32_t node) -> SiteHistory* {
    const uint32_t site = table.site_of_node[node];
    return site == kNoSite || groups[site] == kNoGroup ? nullptr : &histories[groups[site]];
  };
  for (SiteHistory& history : histories) history.grown = {};
  for (const SiteCounts& counts : profile.sites) {
    SiteHistory* history = history_of(counts.node);
    if (history == nullptr) continue;
    for (size_t i = 0; i < history->grown.size(); ++i) history->grown[i] += static_cast<double>(counts.grown_bytes[i]);
  }
  for (const SiteColumn& column : profile.columns) {
    SiteHistory* history = history_of(profile.sites[column.site].node);
    if (history == nullptr) continue;
    const bool is_age = column.column < format::kOctaves;
    (is_age ? history->died[column.column] : history->allocated[column.column - format::kOctaves]) +=
        static_cast<double>(column.bytes);
  }
  const double recent = kRecentSpans * RecentSpan(profile.work_bytes);
  for (const LiveBlock& block : profile.live) {
    SiteHistory* history = history_of(block.node);
    if (history == nullptr) continue;
    const uint64_t age = Excess(profile.work_bytes, block.birth);
    const auto bytes = static_cast<double>(format::WeightOf(block.size, block.rate_bytes).bytes);
    history->alive[format::AgeColumn(age)] += bytes;
    const double part = recent > 0 ? static_cast<double>(age) / recent : 1;
    if (part < 1) history->recent[static_cast<size_t>(part * kRecentParts)] += bytes;
  }
  return histories;
}

void AssessSites(const Profile& profile, const WorkClock& clock, SiteTable* table) {
  constexpr size_t kAtOnce = 16384;  // histories are large
  for (size_t begin = 0; begin < table->sites.size(); begin += kAtOnce) {
    const size_t count = std::min(kAtOnce, table->sites.size() - begin);
    SiteGroups groups(table->sites.size(), kNoGroup);
    for (size_t i = 0; i < count; ++i) groups[begin + i] = static_cast<uint32_t>(i);
    const std::vector<SiteHistory> histories = BuildHistories(profile, *table, groups, count);
    for (size_t i = 0; i < count; ++i) {
      Site& site = table->sites[begin + i];
      const Survival survival = AnalyseSurvival(histories[i], profile.work_bytes, &clock);
      site.behaviour = survival.behaviour;
      site.growth_bytes = std::min(RoundToUint(survival.score), site.live_bytes);
    }
  }
}

}  // namespace memtrace::tools
