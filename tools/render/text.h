// The report for a terminal: 80 columns, the verdict first.
#ifndef MEMTRACE_TOOLS_RENDER_TEXT_H_
#define MEMTRACE_TOOLS_RENDER_TEXT_H_

#include <cstddef>
#include <ostream>
#include <span>
#include <string>

#include "tools/analysis/report.h"
#include "tools/render/page.h"

namespace memtrace::tools {

struct TextOptions {
  size_t top = 10;  // suspects, sites and processes to print, 0: all
  PageLook look;
};

// The first report in full, a line for each of the others. The same input gives the same text.
void WriteText(std::span<const Report> reports, const TextOptions& options, std::ostream* out);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_TEXT_H_
