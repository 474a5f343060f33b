// Folded stacks, "outer;inner weight" per line: what flame graph tools read.
#ifndef MEMTRACE_TOOLS_RENDER_FOLDED_H_
#define MEMTRACE_TOOLS_RENDER_FOLDED_H_

#include <optional>
#include <ostream>
#include <string_view>

#include "tools/analysis/report.h"

namespace memtrace::tools {

// Live, allocated and peak weigh bytes, temporary counts allocations.
enum class Metric { kLive, kAllocated, kPeak, kTemporary };
std::optional<Metric> ParseMetric(std::string_view name);
uint64_t WeightOf(const Site& site, Metric metric);

// Sites of weight 0 are left out; equal lines are added up; sorted by text.
void WriteFolded(const Report& report, Metric metric, std::ostream* out);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_FOLDED_H_
