#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "libmemtrace/format/weight.h"
#include "tools/reader/decode.h"

namespace memtrace::tools {
namespace {

using format::ChunkKind;

class LiveTable {
 public:
  explicit LiveTable(Profile* profile) : profile_(*profile) {}

  void Add(const format::LiveBucket& bucket) {
    for (int i = 0; i < 3; ++i) {
      const uint64_t key = bucket.keys[i];
      if (key == 0) continue;
      const uint64_t rate_bytes = profile_.header.rates[format::KeyRate(key)].bytes;
      if (rate_bytes == 0) profile_.losses.Add("sampling intervals of live blocks");
      profile_.live.push_back(
          Checked({.address = format::KeyAddress(key),
                   .size = format::KeySize(key, bucket.sizes[i]),
                   .birth = std::min(format::DecodeBirth(bucket.births[i]), profile_.work_bytes),
                   .rate_bytes = std::max<uint64_t>(rate_bytes, 1),
                   .node = bucket.nodes[i],
                   .lost = profile_.looked() && (bucket.meta >> (format::kBucketLostShift + i) & 1) != 0}));
    }
  }

  // With a node that there is.
  LiveBlock Checked(LiveBlock block) {
    if (block.node == format::kUnknownSite) block.node = 0;
    if (block.node >= profile_.nodes.size()) {
      profile_.losses.Add("stacks of live blocks");
      block.node = 0;
    }
    return block;
  }

  // One entry per address, the younger one where the table was caught moving a block.
  void RemoveDuplicates() {
    std::vector<LiveBlock>& live = profile_.live;
    std::sort(live.begin(), live.end(), [](const LiveBlock& a, const LiveBlock& b) {
      return a.address != b.address ? a.address < b.address : a.birth > b.birth;
    });
    const auto same = [](const LiveBlock& a, const LiveBlock& b) { return a.address == b.address; };
    live.erase(std::unique(live.begin(), live.end(), same), live.end());
  }

 private:
  Profile& profile_;
};

// Events that a signal handler left behind: they come after all that the tables hold and the counters have counted.
// Those of different threads cannot overlap on one address.
class DeferredEvents {
 public:
  DeferredEvents(LiveTable* table, Profile* profile) : table_(*table), profile_(*profile) {}

  // Requires blocks in the order of their addresses. Leaves them so.
  void Apply(const std::vector<format::DeferredEvent>& events) {
    if (events.empty()) return;
    for (const format::DeferredEvent& event : events) Apply(event);
    std::erase_if(profile_.live, [this](const LiveBlock& block) { return changed_.contains(block.address); });
    for (const auto& [address, block] : changed_) {
      if (block) profile_.live.push_back(*block);
    }
    table_.RemoveDuplicates();
  }

  // Blocks that came or went, in this order.
  const std::vector<LiveBlock>& allocated() const { return allocated_; }
  const std::vector<LiveBlock>& freed() const { return freed_; }

 private:
  std::optional<LiveBlock> BlockAt(uint64_t address) const {
    if (const auto changed = changed_.find(address); changed != changed_.end()) return changed->second;
    const auto at = std::lower_bound(profile_.live.begin(), profile_.live.end(), address,
                                     [](const LiveBlock& block, uint64_t wanted) { return block.address < wanted; });
    if (at == profile_.live.end() || at->address != address) return std::nullopt;
    return *at;
  }

  void Apply(const format::DeferredEvent& event) {
    const uint64_t address = event.address & format::kAddressMask;
    const std::optional<LiveBlock> before = BlockAt(address);
    if (event.size == format::kUnknown) {
      if (before) freed_.push_back(*before);
      changed_[address] = std::nullopt;
      return;
    }
    const LiveBlock block = table_.Checked({.address = address,
                                            .size = std::min(event.size, format::kMaxBlockBytes),
                                            .birth = profile_.work_bytes,
                                            .rate_bytes = 1,
                                            .node = event.node});
    // The process ended after this event was worked off and before that was noted.
    if (before && before->size == block.size && before->node == block.node) return;
    if (before) freed_.push_back(*before);
    allocated_.push_back(block);
    changed_[address] = block;
  }

  LiveTable& table_;
  Profile& profile_;
  std::map<uint64_t, std::optional<LiveBlock>> changed_;  // what is at an address now
  std::vector<LiveBlock> allocated_;
  std::vector<LiveBlock> freed_;
};

bool ByNode(const SiteCounts& a, const SiteCounts& b) { return a.node < b.node; }

// Blocks may be seen before the counters of their site are, and counters may be lost.
void AddMissingSites(const DeferredEvents& deferred, Profile* profile) {
  std::vector<bool> known(profile->nodes.size());
  for (const SiteCounts& site : profile->sites) known[site.node] = true;
  bool added = false;
  for (const std::vector<LiveBlock>* blocks :
       {&std::as_const(profile->live), &deferred.allocated(), &deferred.freed()}) {
    for (const LiveBlock& block : *blocks) {
      if (known[block.node]) continue;
      known[block.node] = true;
      added = true;
      profile->sites.push_back({.node = block.node});
    }
  }
  if (!added) return;
  std::vector<uint32_t> nodes;  // of the sites that columns point to, before they move
  for (const SiteColumn& column : profile->columns) nodes.push_back(profile->sites[column.site].node);
  std::sort(profile->sites.begin(), profile->sites.end(), ByNode);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const auto site =
        std::lower_bound(profile->sites.begin(), profile->sites.end(), SiteCounts{.node = nodes[i]}, ByNode);
    profile->columns[i].site = static_cast<uint32_t>(site - profile->sites.begin());
  }
}

void CountDeferred(const DeferredEvents& deferred, Profile* profile) {
  const auto site_of = [profile](const LiveBlock& block) {
    return std::lower_bound(profile->sites.begin(), profile->sites.end(), SiteCounts{.node = block.node}, ByNode);
  };
  Totals& totals = profile->totals;
  for (const LiveBlock& block : deferred.allocated()) {
    ++totals.allocations;
    totals.allocated_bytes = SaturatingAdd(totals.allocated_bytes, block.size);
    const auto site = site_of(block);
    site->alloc_count_q16 = SaturatingAdd(site->alloc_count_q16, format::kCountOne);
    site->alloc_bytes = SaturatingAdd(site->alloc_bytes, block.size);
  }
  for (const LiveBlock& block : deferred.freed()) {
    const format::Weight weight = format::WeightOf(block.size, block.rate_bytes);
    totals.frees += format::RoundedCount(weight.count_q16);
    totals.freed_bytes = SaturatingAdd(totals.freed_bytes, weight.bytes);
    const auto site = site_of(block);
    site->free_count_q16 = SaturatingAdd(site->free_count_q16, weight.count_q16);
    site->free_bytes = SaturatingAdd(site->free_bytes, weight.bytes);
  }
}

}  // namespace

void DecodeLive(const Layout& layout, const std::vector<format::DeferredEvent>& deferred, Profile* profile) {
  LiveTable table(profile);
  const auto add = [&table](uint64_t, const format::LiveBucket& bucket) { table.Add(bucket); };
  const uint64_t missing = layout.Visit<format::LiveBucket>(ChunkKind::kLive, layout.header().live_buckets, add);
  profile->losses.Add("buckets of the live table, each up to 3 blocks", missing);
  layout.VisitAll<format::LiveBucket>(ChunkKind::kOverflow, add);
  table.RemoveDuplicates();
  DeferredEvents events(&table, profile);
  events.Apply(deferred);
  AddMissingSites(events, profile);
  CountDeferred(events, profile);

  Totals& totals = profile->totals;
  uint64_t count_q16 = 0;
  for (const LiveBlock& block : profile->live) {
    const format::Weight weight = format::WeightOf(block.size, block.rate_bytes);
    totals.live_bytes = SaturatingAdd(totals.live_bytes, weight.bytes);
    count_q16 = SaturatingAdd(count_q16, weight.count_q16);
  }
  totals.live_allocations = format::RoundedCount(count_q16);
  totals.peak_live_bytes = std::max(totals.peak_live_bytes, totals.live_bytes);
  totals.peak_live_allocations = std::max(totals.peak_live_allocations, totals.live_allocations);
}

}  // namespace memtrace::tools
