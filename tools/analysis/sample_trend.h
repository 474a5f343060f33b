// Where a monitor's rows are heading: how fast memory grows and when it will have reached the limit.
#ifndef MEMTRACE_TOOLS_ANALYSIS_SAMPLE_TREND_H_
#define MEMTRACE_TOOLS_ANALYSIS_SAMPLE_TREND_H_

#include <optional>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

struct SampleGrowth {
  const Sample* first = nullptr;  // of the rows that it was computed from
  const Sample* last = nullptr;
  double bytes_per_s = 0;
  Number limit_bytes;
  std::optional<double> time_to_limit_s;
};

// Of the series (one container, process or cgroup in one file) that comes soonest to its limit. Nothing unless a series
// has risen over all of its rows and over the later half of them; that half gives the rate (median of the slopes of all
// pairs, Sen 1968). `limit` is that of a series whose rows have none.
std::optional<SampleGrowth> GrowthOf(const Evidence& evidence, const Number& limit);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_SAMPLE_TREND_H_
