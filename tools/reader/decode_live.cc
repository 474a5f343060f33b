#include <algorithm>
#include <map>

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
      Add({.address = format::KeyAddress(key),
           .size = format::KeySize(key, bucket.sizes[i]),
           .birth = std::min(format::DecodeBirth(bucket.births[i]), profile_.work_bytes),
           .rate_bytes = std::max<uint64_t>(rate_bytes, 1),
           .node = bucket.nodes[i]});
    }
  }

  void Add(LiveBlock block) {
    if (block.node == format::kUnknownSite) block.node = 0;
    if (block.node >= profile_.nodes.size()) {
      profile_.losses.Add("stacks of live blocks");
      block.node = 0;
    }
    profile_.live.push_back(block);
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

// Events that a signal handler left behind come after all that the tables hold. The last event of
// an address decides; those of different threads cannot overlap on one address.
void ApplyDeferred(const std::vector<format::DeferredEvent>& events, LiveTable* table, Profile* profile) {
  if (events.empty()) return;
  std::map<uint64_t, format::DeferredEvent> last;
  for (const format::DeferredEvent& event : events) last[event.address & format::kAddressMask] = event;
  std::erase_if(profile->live, [&last](const LiveBlock& block) { return last.contains(block.address); });
  for (const auto& [address, event] : last) {
    if (event.size == format::kUnknown) continue;
    table->Add({.address = address,
                .size = std::min(event.size, format::kMaxBlockBytes),
                .birth = profile->work_bytes,
                .rate_bytes = 1,
                .node = event.node});
  }
  table->RemoveDuplicates();
}

// Blocks may be seen before the counters of their site are, and counters may be lost.
void AddMissingSites(Profile* profile) {
  std::vector<bool> known(profile->nodes.size());
  for (const SiteCounts& site : profile->sites) known[site.node] = true;
  bool added = false;
  for (const LiveBlock& block : profile->live) {
    if (known[block.node]) continue;
    known[block.node] = true;
    added = true;
    profile->sites.push_back({.node = block.node});
  }
  if (!added) return;
  std::vector<uint32_t> nodes;  // of the sites that columns point to, before they move
  for (const SiteColumn& column : profile->columns) nodes.push_back(profile->sites[column.site].node);
  const auto by_node = [](const SiteCounts& a, const SiteCounts& b) { return a.node < b.node; };
  std::sort(profile->sites.begin(), profile->sites.end(), by_node);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const auto site =
        std::lower_bound(profile->sites.begin(), profile->sites.end(), SiteCounts{.node = nodes[i]}, by_node);
    profile->columns[i].site = static_cast<uint32_t>(site - profile->sites.begin());
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
  ApplyDeferred(deferred, &table, profile);
  AddMissingSites(profile);

  Totals& totals = profile->totals;
  uint64_t count_q16 = 0;
  for (const LiveBlock& block : profile->live) {
    const format::Weight weight = format::WeightOf(block.size, block.rate_bytes);
    totals.live_bytes = SaturatingAdd(totals.live_bytes, weight.bytes);
    count_q16 = SaturatingAdd(count_q16, weight.count_q16);
  }
  totals.live_allocations = count_q16 / format::kCountOne + (count_q16 % format::kCountOne >= format::kCountOne / 2);
  totals.peak_live_bytes = std::max(totals.peak_live_bytes, totals.live_bytes);
  totals.peak_live_allocations = std::max(totals.peak_live_allocations, totals.live_allocations);
}

}  // namespace memtrace::tools
