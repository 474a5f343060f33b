// What weighs in folded stacks, profiles and the flame graph.
#ifndef MEMTRACE_TOOLS_RENDER_METRIC_H_
#define MEMTRACE_TOOLS_RENDER_METRIC_H_

#include <cstdint>
#include <string_view>

#include "tools/analysis/sites.h"

namespace memtrace::tools {

// Live, allocated and peak weigh bytes, temporary counts allocations.
enum class Metric { kLive, kAllocated, kPeak, kTemporary };

struct MetricName {
  Metric metric;
  std::string_view name;  // of --metric
};
inline constexpr MetricName kMetricNames[] = {
    {Metric::kLive, "live"},
    {Metric::kAllocated, "allocated"},
    {Metric::kPeak, "peak"},
    {Metric::kTemporary, "temporary"},
};
constexpr std::string_view Name(Metric metric) { return kMetricNames[static_cast<size_t>(metric)].name; }

constexpr uint64_t WeightOf(const Site& site, Metric metric) {
  switch (metric) {
    case Metric::kLive:
      return site.live_bytes;
    case Metric::kAllocated:
      return site.allocated_bytes;
    case Metric::kPeak:
      return site.peak_bytes;
    case Metric::kTemporary:
      return site.temporary_allocations;
  }
  return 0;
}

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_METRIC_H_
