// The parts of the text report that go by site. `top`: how many to print, 0 for all.
#ifndef MEMTRACE_TOOLS_RENDER_TEXT_SITES_H_
#define MEMTRACE_TOOLS_RENDER_TEXT_SITES_H_

#include <cstddef>

#include "tools/analysis/report.h"
#include "tools/render/page.h"

namespace memtrace::tools {

// Each with its paragraph and its stack.
void WriteSuspects(const Report& report, size_t top, Page* page);
// Consumers by size.
void WriteSites(const Report& report, size_t top, Page* page);
// Blocks that no pointer leads to, largest sites first; nothing where nobody looked.
void WriteLost(const Report& report, size_t top, Page* page);
// What changed since the baseline, the largest changes first; nothing without one.
void WriteDifference(const Report& report, size_t top, Page* page);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_TEXT_SITES_H_
