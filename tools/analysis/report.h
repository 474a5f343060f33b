// Everything that a report says about one process, before it is put into words, JSON or a picture.
#ifndef MEMTRACE_TOOLS_ANALYSIS_REPORT_H_
#define MEMTRACE_TOOLS_ANALYSIS_REPORT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/analysis/baseline.h"
#include "tools/analysis/incident.h"
#include "tools/analysis/memory.h"
#include "tools/analysis/sites.h"
#include "tools/analysis/suppressions.h"
#include "tools/analysis/suspects.h"
#include "tools/reader/inputs.h"
#include "tools/reader/profile.h"
#include "tools/symbols/frames.h"

namespace memtrace::tools {

struct TimelineEntry {
  double t;  // seconds since the start of the process
  Bytes usage_bytes;
  Bytes live_bytes;
};

// A snapshot of the process that the report knows of.
struct StateMark {
  double t;             // as in TimelineEntry
  std::string trigger;  // as in Report::trigger
  std::optional<uint32_t> percent;
  std::string file;
};

// When the memory was where the report says, for a process that is no more: at a snapshot, or at the kill.
struct MemoryMoment {
  double before_end_s = 0;
  std::optional<uint32_t> percent;  // of the limit, if reaching that took the snapshot
  bool at_kill = false;             // as the kernel logged it
};

struct Verdict {
  std::string cause;  // one of the causes of --json
  Confidence confidence = Confidence::kPossible;
  std::string summary;
  std::vector<std::string> evidence;
  Bytes recommended_limit_bytes;
  std::optional<double> time_to_limit_s;
  std::vector<std::string> advice;
};

struct Report {
  bool recorded = true;  // false: from evidence alone; then the profile is empty and its zeroes mean nothing
  std::unique_ptr<const Profile> profile;  // the newest state
  std::unique_ptr<FrameTable> frames;      // of *profile
  std::string state;
  std::string trigger;
  uint64_t started_ns = 0;  // 0: unknown
  uint64_t end_ns = 0;      // of what the report knows
  SiteTable table;
  std::vector<Suspect> suspects;
  size_t suppressed = 0;  // suspects that the user has excused
  std::optional<Baseline> baseline;
  MemoryBridge memory;
  std::optional<MemoryMoment> memory_moment;  // whose `memory` is; nothing: of the newest state itself
  CgroupFacts cgroup;
  std::vector<TimelineEntry> timeline;       // of all states
  std::vector<StateMark> snapshots;          // of all states, oldest first; the reported one last if it is a snapshot
  std::shared_ptr<const Evidence> evidence;  // from outside, of all input; may be null
  Incident incident;                         // what the evidence says about this process
  Verdict verdict;
  std::vector<std::string> blind_spots;  // what could not be seen, a sentence each

  // Why events were not recorded; empty if all were.
  std::string DropReason() const;
  // Whether the numbers of dropped allocations and frees are all; else they are the least there can be.
  bool DropsAreCounted() const;
};

// `states` as from GroupByProcess, not empty; `symbolizer` must outlive the report; `proc` says who runs.
Report BuildReport(ProcessStates states, Symbolizer* symbolizer, const std::string& proc = "/proc",
                   const Suppressions& suppressions = {});

// Decides from what the rest of the report holds. First corrects suspects that the end of the process explains.
Verdict Decide(Report* report);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_REPORT_H_
