// speedscope's file format (https://www.speedscope.app/file-format-schema.json): stacks with weights.
#ifndef MEMTRACE_TOOLS_RENDER_SPEEDSCOPE_H_
#define MEMTRACE_TOOLS_RENDER_SPEEDSCOPE_H_

#include <ostream>

#include "tools/analysis/report.h"
#include "tools/render/metric.h"

namespace memtrace::tools {

// One profile per metric that has a weight; `metric` is the one that is shown first.
void WriteSpeedscope(const Report& report, Metric metric, std::ostream* out);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_SPEEDSCOPE_H_
