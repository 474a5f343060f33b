#include "tools/report/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <map>
#include <string_view>

#include "tools/report/exit_status.h"
#include "tools/symbols/symbol_cache.h"

namespace memtrace::tools {
namespace {

constexpr char kDescription[] =
    "Says which call stacks hold the memory of a program that ran with libmemtrace.so, and which of them leak.";
constexpr char kFooter[] =
    "A PATH is a recording (.rec), a snapshot (.snap), a directory of them, or - for standard input.\n"
    "Without an output option a text report goes to standard output.\n\n"
    "Exit status: 0 report made; 1 none could be made; 2 wrong usage; 3 report made from damaged input;\n"
    "4 see --fail-on.";

// "--json" and "--json=FILE", but never "--json FILE": that FILE is a PATH. CLI11 would take the next word
// for an option with an optional value, so the value is cut off before it parses.
std::vector<std::string> TakeOutputs(int argc, char** argv, Options* options) {
  struct Output {
    std::string_view name;
    OutputFile* file;
  };
  const Output outputs[] = {{"--json", &options->json}, {"--folded", &options->folded}};
  std::vector<std::string> rest;
  bool only_paths = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    only_paths = only_paths || word == "--";
    bool taken = false;
    for (const Output& output : outputs) {
      const bool plain = word == output.name;
      const bool with_file =
          word.starts_with(output.name) && word.size() > output.name.size() && word[output.name.size()] == '=';
      if (only_paths || (!plain && !with_file)) continue;
      *output.file = plain ? "" : word.substr(output.name.size() + 1);
      taken = true;
    }
    if (!taken) rest.emplace_back(word);
  }
  return rest;
}

}  // namespace

std::optional<int> ParseOptions(int argc, char** argv, Options* options) {
  CLI::App app(kDescription, "memtrace-report");
  app.footer(kFooter);
  app.set_version_flag("--version", "memtrace-report " MEMTRACE_VERSION);
  app.add_option("PATH", options->paths, "Recordings, snapshots, directories, or -")->required();
  // For --help only, see TakeOutputs.
  bool taken = false;
  app.add_flag("--json", taken, "The report as JSON, to standard output or --json=FILE");
  app.add_flag("--folded", taken, "Folded stacks for flame graphs, to standard output or --folded=FILE");
  app.add_option("--top", options->top, "How many suspects and sites to print, 0 for all")->capture_default_str();
  const std::map<std::string, Metric> metrics = {{"live", Metric::kLive},
                                                 {"allocated", Metric::kAllocated},
                                                 {"peak", Metric::kPeak},
                                                 {"temporary", Metric::kTemporary}};
  app.add_option("--metric", options->metric,
                 "What folded stacks weigh: live, allocated, peak (bytes), temporary (blocks)")
      ->transform(CLI::CheckedTransformer(metrics).description(""))
      ->type_name("METRIC");
  app.add_option("--sysroot", options->symbols.sysroot, "Where the target's binaries are")->type_name("DIR");
  app.add_option("--debug-dir", options->symbols.debug_dir, "Where split debug files are")
      ->type_name("DIR")
      ->capture_default_str();
  bool no_cache = false;
  app.add_flag("--no-cache", no_cache, "Neither read nor keep resolved names in XDG_CACHE_HOME/memtrace");
  bool no_symbols = false;
  app.add_flag("--no-symbols", no_symbols, "Print module+offset instead of names");
  const std::map<std::string, FailOn> conditions = {{"suspect", FailOn::kSuspect}, {"oom", FailOn::kOom}};
  app.add_option("--fail-on", options->fail_on, "Exit 4 when the report has a suspect, or an oom kill")
      ->transform(CLI::CheckedTransformer(conditions).description(""))
      ->type_name("suspect|oom");

  std::vector<std::string> words = TakeOutputs(argc, argv, options);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? kExitOk : kExitUsage;
  }
  options->symbols.enabled = !no_symbols;
  if (!no_cache) options->symbols.cache_dir = DefaultCacheDirectory();
  const char* servers = std::getenv("DEBUGINFOD_URLS");
  options->symbols.debuginfod = servers != nullptr && *servers != '\0';
  return std::nullopt;
}

}  // namespace memtrace::tools
