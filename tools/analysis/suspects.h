// Which sites leak. Ranking by survival analysis on the work clock: a leak is a site whose blocks
// stop dying while more of them come.
#ifndef MEMTRACE_TOOLS_ANALYSIS_SUSPECTS_H_
#define MEMTRACE_TOOLS_ANALYSIS_SUSPECTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/analysis/reachability.h"
#include "tools/analysis/sites.h"
#include "tools/analysis/survival.h"
#include "tools/analysis/trend.h"
#include "tools/analysis/work_clock.h"
#include "tools/symbols/frames.h"

namespace memtrace::tools {

// Recorded blocks without which nobody is accused.
inline constexpr double kFewestSamples = 8;

enum class SuspectKind { kGrowing, kStillFilling };
enum class Confidence { kPossible, kLikely, kConfirmed };
std::string_view Name(SuspectKind kind);
// What the kind says about its blocks.
Behaviour BehaviourOf(SuspectKind kind);
std::string_view Name(Confidence confidence);

// Another suspect whose calls begin like this one's.
struct Relation {
  std::string id;
  size_t frames;  // the outermost ones that both have
};

// The sites of one place, of one call path, of one function, or below one point of the call tree: see Places.
struct Suspect {
  std::string id;               // as from SuspectId
  uint32_t site = 0;            // index into SiteTable::sites: the largest of them
  std::vector<uint32_t> sites;  // all of them
  uint32_t point = 0;           // the frame of the largest's stack where it accumulates
  bool below_point = false;     // and in what that calls, not only in what it allocates itself
  uint32_t places = 1;
  uint32_t paths = 1;       // call paths that read differently
  uint64_t live_bytes = 0;  // of all of them
  uint64_t live_allocations = 0;
  std::optional<LostBlocks> lost;  // of these; nothing: not known
  uint64_t samples = 0;            // recorded blocks behind these two
  SuspectKind kind = SuspectKind::kGrowing;
  Confidence confidence = Confidence::kPossible;
  Survival survival;
  std::optional<double> growth_bytes_per_s;
  std::optional<double> age_p50_s;  // of its live bytes
  std::optional<double> age_p90_s;
  double age_p90_work = 1;        // the same as a share of all the work that the process has done
  std::vector<TrendPoint> older;  // live bytes in each older state of the process, oldest first
  std::vector<Relation> related;  // more than half of the shorter call path is theirs together; the closest first
  std::string why;                // a sentence or two, with numbers
};

// What a site is judged by beside its own history.
struct SuspectLimits {
  uint64_t live_bytes = 0;              // of the whole process
  std::optional<uint64_t> limit_bytes;  // of the cgroup
  // Nearly all was allocated in one moment and hardly anything freed yet: a table that is being built looks like a
  // leak.
  bool building_up = false;
};

// Growing ones first, then those still filling; by score. A site is one only if what it grows by in the time
// that the process has lived is a real share of the heap (5 %) or of the limit (2 %), if at least
// eight recorded blocks speak for it, and if their scatter leaves most of that share with 95 % confidence.
std::vector<Suspect> FindSuspects(const Profile& profile, const SiteTable& table, FrameTable* frames,
                                  const WorkClock& clock, const SiteTrend& trend, const SuspectLimits& limits);

// The place that a suspect is named by: where it accumulates.
std::string PlaceOf(const Suspect& suspect, const SiteTable& table, FrameTable* frames);

// The decision for one site; nothing if it is innocent. Exposed for simulations.
std::optional<SuspectKind> Judge(const Survival& survival, const SuspectLimits& limits);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_SUSPECTS_H_
