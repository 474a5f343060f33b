// Sites put together as a reader sees them: by equal names of all frames, or by the function that allocates.
#ifndef MEMTRACE_TOOLS_ANALYSIS_CANDIDATES_H_
#define MEMTRACE_TOOLS_ANALYSIS_CANDIDATES_H_

#include <cstdint>
#include <vector>

#include "tools/analysis/sites.h"
#include "tools/symbols/frames.h"

namespace memtrace::tools {

struct Candidate {
  uint64_t name_hash = 0;
  std::vector<uint32_t> sites;  // the largest first, as the table is sorted
  uint64_t live_bytes = 0;
  uint64_t live_allocations = 0;
  uint32_t paths = 0;  // call paths that read differently
};

struct Candidates {
  std::vector<Candidate> list;
  SiteGroups groups;  // per site the index into list, or kNoGroup
};

// Sites whose stacks have the same names are one: to the reader an unrolled loop is one place. Sites of less than
// `smallest_bytes` live are left out: what never dies is alive, so what holds little cannot grow much.
Candidates GatherByStack(const SiteTable& table, FrameTable* frames, double smallest_bytes);

// The sites of `from` that `wanted` names (indices into from.list) by the function that a user knows them by, whoever
// called it.
Candidates GatherByFunction(const SiteTable& table, FrameTable* frames, const Candidates& from,
                            const std::vector<uint32_t>& wanted);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_CANDIDATES_H_
