// The command line of memtrace-report.
#ifndef MEMTRACE_TOOLS_REPORT_OPTIONS_H_
#define MEMTRACE_TOOLS_REPORT_OPTIONS_H_

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tools/push/push.h"
#include "tools/render/metric.h"
#include "tools/symbols/symbolizer.h"

namespace memtrace::tools {

enum class FailOn { kNothing, kSuspect, kOom };

enum class Output { kText, kJson, kHtml, kFolded, kPprof, kSpeedscope, kJeprof };

struct OutputKind {
  Output output;
  const char* flag;
  const char* help;
  bool of_sites = false;  // nothing to say without a recording
  bool binary = false;    // nothing for a terminal
};
inline constexpr OutputKind kOutputs[] = {
    {Output::kText, "--text", "The report as text, which is what comes without any output option"},
    {Output::kJson, "--json", "The report as JSON"},
    {Output::kHtml, "--html", "The report as a page for a browser, in one file without links"},
    {Output::kFolded, "--folded", "Folded stacks for flame graph tools", true},
    {Output::kPprof, "--pprof", "A profile for pprof (profile.proto, gzip)", true, true},
    {Output::kSpeedscope, "--speedscope", "A profile for speedscope", true},
    {Output::kJeprof, "--jeprof", "A heap profile as jemalloc writes it, for jeprof", true},
};

// Where an output goes: nothing if it was not asked for, "" for standard output.
using OutputFile = std::optional<std::string>;

struct Options {
  std::vector<std::string> paths;
  std::array<OutputFile, std::size(kOutputs)> outputs;  // in the order of kOutputs
  std::string baseline;                                 // empty: none
  std::string suppressions;                             // empty: none
  std::string helpers;                                  // empty: the user's default file, if there is one
  size_t top = 10;
  Metric metric = Metric::kLive;
  SymbolOptions symbols;
  FailOn fail_on = FailOn::kNothing;
  PushOrder push;
};

// Returns the exit status if there is nothing more to do (--help, --version, a bad command line, which is
// explained on standard error).
std::optional<int> ParseOptions(int argc, char** argv, Options* options);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_REPORT_OPTIONS_H_
