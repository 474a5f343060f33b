// Allocation sites as the report shows them: the recorded ones with equal frames put together, and
// what lives at them estimated.
#ifndef MEMTRACE_TOOLS_ANALYSIS_SITES_H_
#define MEMTRACE_TOOLS_ANALYSIS_SITES_H_

#include <cstdint>
#include <vector>

#include "tools/analysis/interval.h"
#include "tools/analysis/survival.h"
#include "tools/reader/profile.h"

namespace memtrace::tools {

struct Site {
  uint64_t id = 0;    // hash of the frames, the same from run to run
  uint32_t node = 0;  // one of the stacks that were put together
  uint64_t allocations = 0;
  uint64_t allocated_bytes = 0;
  uint64_t temporary_allocations = 0;
  uint64_t peak_bytes = 0;
  uint64_t live_allocations = 0;
  uint64_t live_bytes = 0;
  uint64_t lost_allocations = 0;  // of the live ones, those that no pointer leads to; 0 too where nobody looked
  uint64_t lost_bytes = 0;
  Interval live_bytes_ci95;
  double bytes_per_sample = 1;  // what one recorded block of this site stands for
  Behaviour behaviour = Behaviour::kUnknown;
  uint64_t growth_bytes = 0;  // of what is live, what will never be freed and goes on coming, see Survival::score
};

struct SiteTable {
  std::vector<Site> sites;             // most live bytes first, then most allocated
  std::vector<uint32_t> site_of_node;  // index into sites, kNoSite where nothing was allocated
};
inline constexpr uint32_t kNoSite = 0xffffffff;

SiteTable BuildSites(const Profile& profile);

// Fills in what becomes of each site's blocks. Requires profile.has_history.
void AssessSites(const Profile& profile, const WorkClock& clock, SiteTable* table);

// Names the stacks of all sites, which is faster together than one by one.
class FrameTable;
void ResolveStacks(const SiteTable& table, FrameTable* frames);

// Which site counts for which group: indexed as SiteTable::sites, kNoGroup where for none.
using SiteGroups = std::vector<uint32_t>;
inline constexpr uint32_t kNoGroup = 0xffffffff;

// The histories of `count` groups of sites, added up.
std::vector<SiteHistory> BuildHistories(const Profile& profile, const SiteTable& table, const SiteGroups& groups,
                                        size_t count);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_SITES_H_
