// pprof's profile.proto, compressed with gzip: what `go tool pprof` and its relatives read.
#ifndef MEMTRACE_TOOLS_RENDER_PPROF_H_
#define MEMTRACE_TOOLS_RENDER_PPROF_H_

#include <ostream>
#include <string>

#include "tools/analysis/report.h"
#include "tools/render/metric.h"

namespace memtrace::tools {

// Per site alloc_objects, alloc_space, inuse_objects and inuse_space, unbiased; peak_space or temporary_objects too if
// they are the metric, which is shown first. The baseline's samples are in it negated and labelled as `pprof
// -diff_base` has them.
void WritePprof(const Report& report, Metric metric, std::ostream* out);

// RFC 1952, without name and time: the same text gives the same bytes.
std::string Gzip(const std::string& text);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_PPROF_H_
