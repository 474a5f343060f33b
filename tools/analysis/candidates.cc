#include "tools/analysis/candidates.h"

#include <span>
#include <unordered_map>

#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

class Gatherer {
 public:
  explicit Gatherer(const SiteTable& table) : table_(table) { result_.groups.assign(table.sites.size(), kNoGroup); }

  Candidate& Add(uint32_t site, uint64_t hash) {
    const auto [found, added] = known_.try_emplace(hash, static_cast<uint32_t>(result_.list.size()));
    if (added) result_.list.push_back({.name_hash = hash, .sites = {}});
    Candidate& candidate = result_.list[found->second];
    result_.groups[site] = found->second;
    candidate.sites.push_back(site);
    candidate.live_bytes = SaturatingAdd(candidate.live_bytes, table_.sites[site].live_bytes);
    candidate.live_allocations = SaturatingAdd(candidate.live_allocations, table_.sites[site].live_allocations);
    return candidate;
  }
  Candidates Take() { return std::move(result_); }

 private:
  const SiteTable& table_;
  std::unordered_map<uint64_t, uint32_t> known_;
  Candidates result_;
};

}  // namespace

Candidates GatherByStack(const SiteTable& table, FrameTable* frames, double smallest_bytes) {
  Gatherer gatherer(table);
  for (uint32_t i = 0; i < table.sites.size(); ++i) {
    const Site& site = table.sites[i];
    if (static_cast<double>(site.live_bytes) < smallest_bytes) break;  // sorted by live bytes
    gatherer.Add(i, HashNames(*frames, frames->Stack(site.node))).paths = 1;
  }
  return gatherer.Take();
}

Candidates GatherByFunction(const SiteTable& table, FrameTable* frames, const Candidates& from,
                            const std::vector<uint32_t>& wanted) {
  Gatherer gatherer(table);
  for (const uint32_t index : wanted) {
    // They all read the same, so one stands for all.
    const std::vector<uint32_t>& sites = from.list[index].sites;
    const std::vector<uint32_t> stack = frames->Stack(table.sites[sites.front()].node);
    if (stack.empty()) continue;
    const uint64_t hash = HashNames(*frames, std::span(stack).subspan(LeadingHelpers(*frames, stack), 1));
    for (const uint32_t site : sites) gatherer.Add(site, hash).paths += site == sites.front() ? 1 : 0;
  }
  return gatherer.Take();
}

}  // namespace memtrace::tools
