// jemalloc's heap profile, text format heap_v2: what jeprof reads.
#ifndef MEMTRACE_TOOLS_RENDER_JEPROF_H_
#define MEMTRACE_TOOLS_RENDER_JEPROF_H_

#include <ostream>

#include "tools/analysis/report.h"

namespace memtrace::tools {

// The figures are unbiased already, so the header claims one sample per byte: jeprof then scales nothing that is larger
// than a few bytes.
void WriteJeprof(const Report& report, std::ostream* out);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_JEPROF_H_
