// The decision table behind the verdict: one row per cause, each with what speaks for it. Rows look at one case and do
// not know of each other; the strongest finding wins.
#ifndef MEMTRACE_TOOLS_ANALYSIS_CAUSES_H_
#define MEMTRACE_TOOLS_ANALYSIS_CAUSES_H_

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/analysis/report.h"
#include "tools/analysis/settings.h"

namespace memtrace::tools {

// All that a row may look at.
struct Case {
  const Report& report;
  const Incident& incident;
  const Composition& parts;  // the best there is of the moment that matters

  const Evidence* evidence() const { return report.evidence.get(); }
  // There is an OOM kill, or one is likely: killed by a signal with the cgroup at its limit.
  bool ended_at_limit() const;
  Bytes limit() const { return parts.limit ? parts.limit : report.cgroup.limit_bytes; }
  std::string KilledText() const;  // "python3 (pid 7)", "the process"
  std::string LimitText() const;   // "64.0 MiB", "the limit"
};

struct Finding {
  int strength = 0;  // compared between rows
  Confidence confidence = Confidence::kPossible;
  std::string sentence;
  std::vector<std::string> evidence;
  std::vector<std::string> advice;
  Setting setting = Setting::kNone;  // which setting of the container helps
  Bytes recommended_limit;
  std::string recommended_why;
  std::optional<double> time_to_limit_s;
};

struct CauseRow {
  const char* cause;
  std::optional<Finding> (*weigh)(const Case& facts);
};

std::span<const CauseRow> LimitCauses();  // whose limit, or nobody's
std::span<const CauseRow> PartCauses();   // a kind of memory or another process fills it
std::span<const CauseRow> HeapCauses();   // what the recording says

// Whether the kinds of memory sum up to the usage, and "ruled out, shmem: ..." for each that is too small to be the
// cause.
std::vector<std::string> BudgetLines(const Case& facts);

// Room for what was held and a quarter more, in whole MiB.
uint64_t WithRoom(uint64_t bytes);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_CAUSES_H_
