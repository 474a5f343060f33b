// memtrace-report: reads recordings and says where the memory is.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>

#include "tools/analysis/report.h"
#include "tools/reader/decode.h"
#include "tools/reader/inputs.h"
#include "tools/render/json.h"
#include "tools/render/text.h"
#include "tools/report/crash.h"
#include "tools/report/exit_status.h"
#include "tools/report/options.h"

namespace memtrace::tools {
namespace {

void Complain(const std::string& text) { std::cerr << "memtrace-report: " << text << '\n'; }

struct Inputs {
  std::vector<Profile> profiles;
  size_t failures = 0;
};

Inputs ReadInputs(const std::vector<std::string>& paths) {
  Inputs inputs;
  const auto fail = [&inputs](const Error& error) {
    Complain(error.Text());
    ++inputs.failures;
  };
  for (const std::string& path : paths) {
    const Result<std::vector<std::string>> files = ExpandPath(path);
    if (!files.ok()) {
      fail(files.error());
      continue;
    }
    for (const std::string& name : files.value()) {
      const Result<RecordingFile> file = RecordingFile::Read(name);
      Result<Profile> profile = file.ok() ? Decode(file.value()) : Result<Profile>(file.error());
      if (profile.ok()) {
        inputs.profiles.push_back(std::move(profile).value());
      } else {
        fail(profile.error());
      }
    }
  }
  return inputs;
}

std::vector<Report> MakeReports(std::vector<Profile> profiles, Symbolizer* symbolizer) {
  std::vector<Report> reports;
  for (ProcessStates& states : GroupByProcess(std::move(profiles)))
    reports.push_back(BuildReport(std::move(states), symbolizer));
  std::stable_sort(reports.begin(), reports.end(), [](const Report& a, const Report& b) {
    return a.profile->totals.live_bytes > b.profile->totals.live_bytes;
  });
  return reports;
}

// Writes one output. False, and says why, if it does not arrive whole.
bool Deliver(const std::string& file, const std::function<void(std::ostream*)>& write) {
  if (file.empty()) {
    write(&std::cout);
    std::cout.flush();
    if (std::cout) return true;
    Complain(std::string("cannot write to standard output: ") + std::strerror(errno));
    return false;
  }
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  if (out) write(&out);
  out.close();
  if (out) return true;
  Complain("cannot write " + file + ": " + std::strerror(errno));
  return false;
}

bool DeliverAll(const Options& options, const std::vector<Report>& reports, const Symbolizer& symbolizer) {
  bool delivered = true;
  if (options.json) {
    // Names are resolved on the way, and that is when their warnings come up.
    delivered &= Deliver(*options.json, [&](std::ostream* out) { WriteJson(reports, symbolizer.warnings(), out); });
  }
  if (options.folded) {
    delivered &= Deliver(*options.folded, [&](std::ostream* out) { WriteFolded(reports[0], options.metric, out); });
  }
  if (!options.json && !options.folded) {
    const char* no_colour = std::getenv("NO_COLOR");  // https://no-color.org: any value that is not empty
    const bool colour = isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0');
    delivered &= Deliver("", [&](std::ostream* out) { WriteText(reports, {options.top, colour}, out); });
  }
  return delivered;
}

bool ConditionHolds(FailOn condition, const std::vector<Report>& reports) {
  switch (condition) {
    case FailOn::kNothing:
      return false;
    case FailOn::kSuspect:
      return std::any_of(reports.begin(), reports.end(), [](const Report& report) { return !report.suspects.empty(); });
    case FailOn::kOom:
      return std::any_of(reports.begin(), reports.end(),
                         [](const Report& report) { return report.cgroup.oom_kills.value_or(0) > 0; });
  }
  return false;
}

int Run(const Options& options) {
  Inputs inputs = ReadInputs(options.paths);
  if (inputs.profiles.empty()) return kExitNoReport;
  Symbolizer symbolizer(options.symbols);
  const std::vector<Report> reports = MakeReports(std::move(inputs.profiles), &symbolizer);
  const bool delivered = DeliverAll(options, reports, symbolizer);
  for (const std::string& warning : symbolizer.warnings()) Complain("warning: " + warning);
  if (!delivered) return kExitNoReport;
  if (ConditionHolds(options.fail_on, reports)) return kExitCondition;
  const bool damaged = inputs.failures > 0 || std::any_of(reports.begin(), reports.end(), [](const Report& report) {
                         return !report.profile->losses.empty();
                       });
  return damaged ? kExitDamagedInput : kExitOk;
}

}  // namespace
}  // namespace memtrace::tools

int main(int argc, char** argv) {
  memtrace::tools::InstallCrashHandler();
  memtrace::tools::Options options;
  if (const std::optional<int> status = memtrace::tools::ParseOptions(argc, argv, &options)) return *status;
  return memtrace::tools::Run(options);
}
