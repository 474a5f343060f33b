// Why a site is a suspect, in words.
#ifndef MEMTRACE_TOOLS_ANALYSIS_EXPLAIN_H_
#define MEMTRACE_TOOLS_ANALYSIS_EXPLAIN_H_

#include <optional>
#include <string>
#include <vector>

#include "tools/analysis/suspects.h"
#include "tools/analysis/trend.h"

namespace memtrace::tools {

// What older snapshots say.
struct SuspectEvidence {
  std::vector<TrendPoint> points;     // live bytes, up to now; empty without older snapshots
  std::optional<double> still_there;  // the share of what lived at the oldest snapshot that lives now
  TrendWord trend = TrendWord::kNone;
};

std::string Explain(const Suspect& suspect, uint64_t work_bytes, const SuspectLimits& limits,
                    const SuspectEvidence& evidence);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_EXPLAIN_H_
