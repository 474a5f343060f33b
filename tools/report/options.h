// The command line of memtrace-report.
#ifndef MEMTRACE_TOOLS_REPORT_OPTIONS_H_
#define MEMTRACE_TOOLS_REPORT_OPTIONS_H_

#include <optional>
#include <string>
#include <vector>

#include "tools/render/folded.h"
#include "tools/symbols/symbolizer.h"

namespace memtrace::tools {

enum class FailOn { kNothing, kSuspect, kOom };

// Where an output goes: nothing if it was not asked for, "" for standard output.
using OutputFile = std::optional<std::string>;

struct Options {
  std::vector<std::string> paths;
  OutputFile json;
  OutputFile folded;
  size_t top = 10;
  Metric metric = Metric::kLive;
  SymbolOptions symbols;
  FailOn fail_on = FailOn::kNothing;
};

// Returns the exit status if there is nothing more to do (--help, --version, a bad command line, which is
// explained on standard error).
std::optional<int> ParseOptions(int argc, char** argv, Options* options);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_REPORT_OPTIONS_H_
