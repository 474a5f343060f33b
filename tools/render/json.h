// The machine-readable report, schema memtrace.report/1.
#ifndef MEMTRACE_TOOLS_RENDER_JSON_H_
#define MEMTRACE_TOOLS_RENDER_JSON_H_

#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "tools/analysis/report.h"

namespace memtrace::tools {

// The first report is the top level, the rest are "others". Every key is always there; what is unknown is null. Sites
// are written one by one, so memory does not grow with their number. `warnings`: what else the user should know;
// read at the end, as they come up while names are resolved.
void WriteJson(std::span<const Report> reports, const std::vector<std::string>& warnings, std::ostream* out);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_JSON_H_
