#include "tools/analysis/candidates.h"

#include <span>
#include <unordered_map>

#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

class Gatherer {
 public:
  explicit Gatherer(const SiteTable& table) : table_(table) { result_.groups.assign(table.sites.size(), kNoGroup); }

  void Add(uint32_t site, uint64_t hash) {
    const auto [found, added] = known_.try_emplace(hash, static_cast<uint32_t>(result_.list.size()));
    if (added) result_.list.push_back({.name_hash = hash, .sites = {}});
    Candidate& candidate = result_.list[found->second];
    result_.groups[site] = found->second;
    candidate.sites.push_back(site);
    candidate.live_bytes = SaturatingAdd(candidate.live_bytes, table_.sites[site].live_bytes);
    candidate.live_allocations = SaturatingAdd(candidate.live_allocations, table_.sites[site].live_allocations);
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
    gatherer.Add(i, HashNames(*frames, frames->Stack(site.node)));
  }
  return gatherer.Take();
}

Candidates GatherByFunction(const SiteTable& table, FrameTable* frames, const Candidates& from,
                            const std::vector<uint32_t>& wanted) {
  Gatherer gatherer(table);
  for (const uint32_t index : wanted) {
    for (const uint32_t site : from.list[index].sites) {
      const std::vector<uint32_t> stack = frames->Stack(table.sites[site].node);
      if (stack.empty()) continue;
      gatherer.Add(site, HashNames(*frames, std::span(stack).subspan(LeadingHelpers(*frames, stack), 1)));
    }
  }
  return gatherer.Take();
}

}  // namespace memtrace::tools
