#include "tools/analysis/baseline.h"

#include <cstring>
#include <unordered_map>
#include <utility>

#include "libmemtrace/format/weight.h"
#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

bool IsEarlierState(const Profile& earlier, const Profile& later) {
  const format::Header& a = earlier.header;
  const format::Header& b = later.header;
  return std::memcmp(a.boot_id, b.boot_id, sizeof(a.boot_id)) == 0 && a.pid == b.pid &&
         a.process_start_ticks == b.process_start_ticks && a.start_ns == b.start_ns &&
         earlier.work_bytes <= later.work_bytes;
}

void Add(const BlocksAndBytes& part, BlocksAndBytes* sum) {
  sum->blocks = SaturatingAdd(sum->blocks, part.blocks);
  sum->bytes = SaturatingAdd(sum->bytes, part.bytes);
}

BlocksAndBytes Less(const BlocksAndBytes& a, const BlocksAndBytes& b) {
  return {Excess(a.blocks, b.blocks), Excess(a.bytes, b.bytes)};
}

// Per site of the report the live blocks that are older than the baseline.
std::vector<BlocksAndBytes> Survivors(const Profile& now, const SiteTable& table, uint64_t baseline_work_bytes) {
  std::vector<BlocksAndBytes> survivors(table.sites.size());
  std::vector<uint64_t> counts_q16(table.sites.size());
  for (const LiveBlock& block : now.live) {
    const uint32_t site = table.site_of_node[block.node];
    if (site == kNoSite || block.birth > baseline_work_bytes) continue;
    const format::Weight weight = format::WeightOf(block.size, block.rate_bytes);
    survivors[site].bytes = SaturatingAdd(survivors[site].bytes, weight.bytes);
    counts_q16[site] = SaturatingAdd(counts_q16[site], weight.count_q16);
  }
  for (size_t i = 0; i < survivors.size(); ++i) survivors[i].blocks = counts_q16[i] / format::kCountOne;
  return survivors;
}

// For each site of the baseline the site of the report, or kNoSite.
std::vector<uint32_t> MatchSites(const SiteTable& from, FrameTable* from_frames, const SiteTable& to,
                                 FrameTable* to_frames) {
  std::unordered_map<uint64_t, uint32_t> by_id;
  for (uint32_t i = 0; i < to.sites.size(); ++i) by_id.emplace(to.sites[i].id, i);
  std::vector<uint32_t> match(from.sites.size(), kNoSite);
  std::vector<bool> taken(to.sites.size());
  bool all = true;
  for (size_t i = 0; i < match.size(); ++i) {
    const auto found = by_id.find(from.sites[i].id);
    if (found != by_id.end()) taken[match[i] = found->second] = true;
    all &= found != by_id.end();
  }
  if (all) return match;
  std::unordered_map<uint64_t, uint32_t> by_names;
  for (uint32_t i = 0; i < to.sites.size(); ++i) {
    if (!taken[i]) by_names.emplace(HashNames(*to_frames, to_frames->Stack(to.sites[i].node)), i);
  }
  for (size_t i = 0; i < match.size() && !by_names.empty(); ++i) {
    if (match[i] != kNoSite || from.sites[i].live_bytes == 0) continue;
    const auto found = by_names.find(HashNames(*from_frames, from_frames->Stack(from.sites[i].node)));
    if (found != by_names.end()) match[i] = found->second;
  }
  return match;
}

void Settle(bool follows_blocks, SiteDifference* site) {
  if (!follows_blocks) return;
  // The two estimates of a sampled site may contradict each other; what survived was there before.
  site->survived.blocks = std::min(site->survived.blocks, std::min(site->before.blocks, site->now.blocks));
  site->survived.bytes = std::min(site->survived.bytes, std::min(site->before.bytes, site->now.bytes));
  site->fresh = Less(site->now, site->survived);
  site->freed = Less(site->before, site->survived);
}

void AddTo(const SiteDifference& site, SiteDifference* total) {
  Add(site.before, &total->before);
  Add(site.now, &total->now);
  Add(site.survived, &total->survived);
  Add(site.fresh, &total->fresh);
  Add(site.freed, &total->freed);
}

}  // namespace

Baseline Compare(Profile baseline, const Profile& now, const SiteTable& table, FrameTable* frames,
                 Symbolizer* symbolizer) {
  Baseline result;
  result.follows_blocks = IsEarlierState(baseline, now);
  result.profile = std::make_unique<const Profile>(std::move(baseline));
  result.frames = std::make_unique<FrameTable>(*result.profile, symbolizer);
  result.table = BuildSites(*result.profile);
  result.sites.resize(table.sites.size());
  for (size_t i = 0; i < table.sites.size(); ++i)
    result.sites[i].now = {table.sites[i].live_allocations, table.sites[i].live_bytes};
  if (result.follows_blocks) {
    const std::vector<BlocksAndBytes> survivors = Survivors(now, table, result.profile->work_bytes);
    for (size_t i = 0; i < survivors.size(); ++i) result.sites[i].survived = survivors[i];
  }
  const std::vector<uint32_t> match = MatchSites(result.table, result.frames.get(), table, frames);
  for (uint32_t i = 0; i < match.size(); ++i) {
    const Site& site = result.table.sites[i];
    const BlocksAndBytes before{site.live_allocations, site.live_bytes};
    if (match[i] != kNoSite) {
      Add(before, &result.sites[match[i]].before);
    } else if (site.live_bytes > 0) {
      result.gone.push_back(i);
      result.of_gone.push_back({.before = before, .now = {}, .survived = {}, .fresh = {}, .freed = {}});
    }
  }
  for (std::vector<SiteDifference>* sites : {&result.sites, &result.of_gone}) {
    for (SiteDifference& site : *sites) {
      Settle(result.follows_blocks, &site);
      AddTo(site, &result.total);
    }
  }
  return result;
}

}  // namespace memtrace::tools
