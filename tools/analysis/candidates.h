// Sites put together as a reader sees them: by place, by call path, by the function that allocates, or by the point of
// the call tree below which growth scatters.
#ifndef MEMTRACE_TOOLS_ANALYSIS_CANDIDATES_H_
#define MEMTRACE_TOOLS_ANALYSIS_CANDIDATES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "tools/analysis/sites.h"
#include "tools/symbols/frames.h"

namespace memtrace::tools {

struct Candidate {
  uint64_t name_hash = 0;
  std::vector<uint32_t> sites;  // the largest first, as the table is sorted
  std::vector<uint32_t> parts;  // indices of the places that it is made of
  uint64_t live_bytes = 0;
  uint64_t live_allocations = 0;
  uint32_t point = 0;  // where it accumulates: index into the stack of sites.front()
};

struct Candidates {
  std::vector<Candidate> list;
  SiteGroups groups;  // per site the index into list, or kNoGroup
};

// From the finest to the coarsest.
enum class Grouping {
  kPath,      // the same functions call each other, but for helpers; the lines may differ: an object of many parts
  kFunction,  // the same function, whoever called it
};

// The places of a program, and what they are put together to.
class Places {
 public:
  // Sites whose frames have the same names and lines are one place: to the reader an unrolled loop is. Sites of less
  // than `smallest_bytes` live are left out: what never dies is alive, so what holds little cannot grow much.
  Places(const SiteTable& table, FrameTable* frames, double smallest_bytes);

  const Candidates& all() const { return all_; }

  // The places that `wanted` names (indices into all().list), put together.
  Candidates Gather(Grouping grouping, std::span<const uint32_t> wanted) const;
  // The same by accumulation point: from the outermost frame on, the call tree of growing bytes (`growth`, by place) is
  // followed as long as children that are suspicious by themselves, with at least `threshold`, keep 70 % of it. Below
  // that point it scatters. The root of all is none.
  Candidates Accumulate(std::span<const uint32_t> wanted, std::span<const double> growth, double threshold) const;
  // How many of them are call paths of their own.
  size_t CountPaths(std::span<const uint32_t> places) const;

 private:
  struct Place {
    std::vector<uint32_t> stack;  // of its largest site
    uint32_t named = 0;           // index into it, behind the helpers
    uint64_t path_hash = 0;
  };
  uint64_t HashOf(Grouping grouping, const Place& place) const;

  const SiteTable& table_;
  FrameTable* const frames_;
  Candidates all_;
  std::vector<Place> places_;  // as all_.list
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_CANDIDATES_H_
