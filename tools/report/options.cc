#include "tools/report/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <string_view>

#include "tools/report/exit_status.h"
#include "tools/report/read_inputs.h"
#include "tools/symbols/symbol_cache.h"

namespace memtrace::tools {
namespace {

constexpr char kDescription[] =
    "Says which call stacks hold the memory of a program that ran with libmemtrace.so, and which of them leak.";
constexpr char kFooter[] =
    "A PATH is a recording (.rec), a snapshot (.snap), evidence of a kill (kernel log, docker inspect or events,\n"
    "kubectl get pod -o json|yaml, cgroup files, a monitor's CSV), a directory of these, or - for standard input.\n"
    "Without an output option a text report goes to standard output.\n\n"
    "Exit status: 0 report made; 1 none could be made; 2 wrong usage; 3 report made from damaged input;\n"
    "4 see --fail-on.";

// "--json" and "--json=FILE", but never "--json FILE": that FILE is a PATH. CLI11 would take the next word
// for an option with an optional value, so the value is cut off before it parses.
std::vector<std::string> TakeOutputs(int argc, char** argv, Options* options) {
  std::vector<std::string> rest;
  bool only_paths = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    only_paths = only_paths || word == "--";
    const std::string_view flag = word.substr(0, word.find('='));
    const auto known = std::find_if(std::begin(kOutputs), std::end(kOutputs),
                                    [&](const OutputKind& kind) { return !only_paths && flag == kind.flag; });
    if (known == std::end(kOutputs)) {
      rest.emplace_back(word);
    } else {
      options->outputs[static_cast<size_t>(known - kOutputs)] = word.substr(std::min(flag.size() + 1, word.size()));
    }
  }
  return rest;
}

void AddPush(CLI::App* app, PushOrder* push) {
  const char* const kGroup = "Server";
  app->add_option("--push", push->url,
                  "Send each recording's profile to a Pyroscope server, or to a Parca server's /profiles/writeraw")
      ->check([](const std::string& url) { return UrlProblem(url); })
      ->excludes("--baseline")
      ->option_text("URL")
      ->group(kGroup);
  const auto take_headers = [push](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      const Result<std::vector<std::string>> headers = ReadHeaders(text);
      if (!headers.ok()) throw CLI::ValidationError("--push-header", headers.error().Text());
      push->headers.insert(push->headers.end(), headers.value().begin(), headers.value().end());
    }
  };
  app->add_option_function<std::vector<std::string>>(
         "--push-header", take_headers,
         fmt::format(
             "`Name: value`, or a file of such lines. What may be seen by nobody else: a file, or a bearer token in "
             "the variable {}",
             kPushTokenVariable))
      ->allow_extra_args(false)
      ->option_text("LINE|@FILE")
      ->group(kGroup);
  const auto take_labels = [push](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      Result<std::pair<std::string, std::string>> label = ParseLabel(text);
      if (!label.ok()) throw CLI::ValidationError("--push-label", label.error().Text());
      push->labels.push_back(std::move(label).value());
    }
  };
  app->add_option_function<std::vector<std::string>>("--push-label", take_labels,
                                                     "A label beside hostname, container_id and pid")
      ->allow_extra_args(false)
      ->option_text("NAME=VALUE")
      ->group(kGroup);
  app->add_option_function<unsigned>(
         "--push-timeout", [push](unsigned seconds) { push->patience = std::chrono::seconds(seconds); },
         "How many seconds one profile may take (default 60)")
      ->check(CLI::Range(1u, 3600u))
      ->option_text("N")
      ->group(kGroup);
}

// Empty, or what is wrong with the token in the environment.
std::string TakeToken(PushOrder* push) {
  const char* value = std::getenv(kPushTokenVariable);
  std::string token = value != nullptr ? value : "";
  while (!token.empty() && std::isspace(static_cast<unsigned char>(token.back())) != 0) token.pop_back();
  if (token.empty() || !push->wanted()) return {};
  const Result<std::vector<std::string>> headers = ReadHeaders("Authorization: Bearer " + token);
  if (!headers.ok()) return std::string(kPushTokenVariable) + " is no token in one line";
  push->headers.push_back(headers.value().front());
  return {};
}

// What is wrong with the outputs together; empty if nothing is.
std::string OutputsProblem(const Options& options) {
  const OutputKind* on_standard_output = nullptr;
  for (const OutputKind& kind : kOutputs) {
    const OutputFile& file = options.outputs[static_cast<size_t>(kind.output)];
    if (!file || !file->empty()) continue;
    if (on_standard_output != nullptr)
      return fmt::format("{} and {} both go to standard output: give one of them a file, as in {}=FILE",
                         on_standard_output->flag, kind.flag, kind.flag);
    if (kind.binary && isatty(STDOUT_FILENO) == 1)
      return fmt::format("{} is nothing for a terminal: write {}=FILE", kind.flag, kind.flag);
    on_standard_output = &kind;
  }
  return {};
}

}  // namespace

std::optional<int> ParseOptions(int argc, char** argv, Options* options) {
  CLI::App app(kDescription, "memtrace-report");
  app.footer(kFooter);
  app.set_version_flag("--version", "memtrace-report " MEMTRACE_VERSION);
  app.add_option("PATH", options->paths, "Recordings, snapshots, directories, or -")->required();
  // For --help only, see TakeOutputs.
  bool taken = false;
  for (const OutputKind& kind : kOutputs) app.add_flag(kind.flag, taken, kind.help)->group("Outputs, each [=FILE]");
  app.add_option("--baseline", options->baseline, "Report the difference from this snapshot")->type_name("PATH");
  app.add_option("--top", options->top, "How many suspects and sites to print, 0 for all")->capture_default_str();
  std::map<std::string, Metric> metrics;
  for (const MetricName& known : kMetricNames) metrics.emplace(known.name, known.metric);
  app.add_option(
         "--metric", options->metric,
         "What folded stacks, profiles and the flame graph weigh: live, allocated, peak (bytes), temporary (blocks)")
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
  app.add_option("--suppressions", options->suppressions,
                 "Suspects to pass over: lines leak:PATTERN, as LeakSanitizer has")
      ->type_name("FILE");
  app.add_option("--helpers", options->helpers,
                 "Functions that only pass an allocation on, beside those that are known: one pattern in a line")
      ->type_name("FILE");
  const std::map<std::string, FailOn> conditions = {{"suspect", FailOn::kSuspect}, {"oom", FailOn::kOom}};
  app.add_option("--fail-on", options->fail_on, "Exit 4 when the report has a suspect, or an oom kill")
      ->transform(CLI::CheckedTransformer(conditions).description(""))
      ->type_name("suspect|oom");

  AddPush(&app, &options->push);

  std::vector<std::string> words = TakeOutputs(argc, argv, options);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      if (std::cout.flush()) return kExitOk;
      Complain(std::string("cannot write to standard output: ") + std::strerror(errno));
      return kExitNoReport;
    }
    Complain(error.what());
    std::cerr << "Try `memtrace-report --help`.\n";
    return kExitUsage;
  }
  for (const std::string& problem : {OutputsProblem(*options), TakeToken(&options->push)}) {
    if (problem.empty()) continue;
    Complain(problem);
    return kExitUsage;
  }
  const bool any =
      std::any_of(options->outputs.begin(), options->outputs.end(), [](const OutputFile& f) { return f.has_value(); });
  if (!any && !options->push.wanted()) options->outputs[static_cast<size_t>(Output::kText)] = "";
  for (const std::string& path : options->paths) {  // as `memtrace collect` makes them
    std::error_code error;
    if (std::filesystem::is_directory(path + "/binaries/.build-id", error)) {
      options->symbols.collected.push_back(path + "/binaries");
    }
  }
  options->symbols.enabled = !no_symbols;
  if (!no_cache) options->symbols.cache_dir = DefaultCacheDirectory();
  const char* servers = std::getenv("DEBUGINFOD_URLS");
  options->symbols.debuginfod = servers != nullptr && *servers != '\0';
  return std::nullopt;
}

}  // namespace memtrace::tools
