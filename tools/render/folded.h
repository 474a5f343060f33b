// Folded stacks, "outer;inner weight" per line: what flame graph tools read.
#ifndef MEMTRACE_TOOLS_RENDER_FOLDED_H_
#define MEMTRACE_TOOLS_RENDER_FOLDED_H_

#include <ostream>

#include "tools/analysis/report.h"
#include "tools/render/metric.h"

namespace memtrace::tools {

// Sites of weight 0 are left out; equal lines are added up; sorted by text. With a baseline two weights, before and now
// (as difffolded.pl of the FlameGraph tools has them).
void WriteFolded(const Report& report, Metric metric, std::ostream* out);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_FOLDED_H_
