// The report as a page: one file that works from a mail attachment.
#ifndef MEMTRACE_TOOLS_RENDER_HTML_H_
#define MEMTRACE_TOOLS_RENDER_HTML_H_

#include <cstddef>
#include <ostream>
#include <span>
#include <string>

#include "tools/analysis/report.h"
#include "tools/render/metric.h"

namespace memtrace::tools {

// Whatever the input: mail servers refuse larger files.
inline constexpr size_t kLargestPage = size_t{2} << 20;

// The first report in full, a line for each of the others; `metric` is what the flame graph shows first. At most
// kLargestPage bytes: small stacks are folded, points of time thinned, long lists cut, each of which the page says.
// It holds no URL, loads nothing, and its content security policy allows its own script and style alone.
void WriteHtml(std::span<const Report> reports, Metric metric, std::ostream* out);

// What the page shows, as JSON. `most` bounds the numbers of nodes, sites and so on.
struct HtmlLimits {
  size_t nodes = 12'000;
  size_t sites = 1'500;
  size_t points = 600;
  size_t suspects = 40;
  size_t lines = 300;  // of evidence, blind spots, other processes
  HtmlLimits Half() const { return {nodes / 2, sites / 2, points / 2, suspects / 2 + 1, lines / 2 + 1}; }
};
std::string HtmlData(std::span<const Report> reports, Metric metric, const HtmlLimits& limits);

// The parts of the page that are the same for every report, made at build time from tools/render/html.
struct HtmlParts {
  const char* style;
  const char* script;
  const char* style_hash;  // sha256 in base64, as a content security policy has it
  const char* script_hash;
};
extern const HtmlParts kHtmlParts;

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_HTML_H_
