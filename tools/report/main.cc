// memtrace-report: reads recordings and says where the memory is.
#include <langinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>

#include "tools/analysis/join.h"
#include "tools/analysis/report.h"
#include "tools/common/progress.h"
#include "tools/common/text_file.h"
#include "tools/reader/decode.h"
#include "tools/reader/inputs.h"
#include "tools/render/folded.h"
#include "tools/render/html.h"
#include "tools/render/jeprof.h"
#include "tools/render/json.h"
#include "tools/render/pprof.h"
#include "tools/render/speedscope.h"
#include "tools/render/text.h"
#include "tools/report/crash.h"
#include "tools/report/exit_status.h"
#include "tools/report/options.h"
#include "tools/report/read_inputs.h"

namespace memtrace::tools {
namespace {

bool IsWhole(const Evidence& evidence) {
  return std::all_of(evidence.files.begin(), evidence.files.end(),
                     [](const EvidenceFile& file) { return file.losses.empty(); });
}

std::vector<Report> MakeReports(std::vector<Profile> profiles, const Suppressions& suppressions,
                                Symbolizer* symbolizer) {
  std::vector<Report> reports;
  for (ProcessStates& states : GroupByProcess(std::move(profiles)))
    reports.push_back(BuildReport(std::move(states), symbolizer, "/proc", suppressions));
  std::stable_sort(reports.begin(), reports.end(), [](const Report& a, const Report& b) {
    return a.profile->totals.live_bytes > b.profile->totals.live_bytes;
  });
  return reports;
}

// Writes one output. False, and says why, if it does not arrive whole.
bool Deliver(const std::string& file, const std::function<void(std::ostream*)>& write) {
  if (file.empty()) {
    if (isatty(STDOUT_FILENO) == 1) StopProgress();
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

// Of several processes the one that is reported, else one of the same executable, else the first; its newest state.
Profile ChooseBaseline(std::vector<Profile> profiles, const Report& report) {
  std::vector<ProcessStates> processes = GroupByProcess(std::move(profiles));
  const auto likeness = [&report](const ProcessStates& states) {
    const format::Header& a = states.back().header;
    const format::Header& b = report.profile->header;
    if (a.pid == b.pid && a.process_start_ticks == b.process_start_ticks) return 2;
    const auto exe = [](const Profile& profile) { return profile.BlobOr(format::BlobKind::kExecutable, ""); };
    return exe(states.back()) == exe(*report.profile) ? 1 : 0;
  };
  const auto best = std::max_element(processes.begin(), processes.end(),
                                     [&](const auto& a, const auto& b) { return likeness(a) < likeness(b); });
  return std::move(best->back());
}

// Adds the baseline to the first report. False, having said why, if there is none.
bool AddBaseline(const std::string& path, Symbolizer* symbolizer, std::vector<Report>* reports) {
  if (path.empty()) return true;
  Report& report = reports->front();
  Inputs inputs = ReadInputs({path});
  if (inputs.profiles.empty() || !report.recorded) {
    Complain("--baseline compares two recordings or snapshots, and there is none " +
             (report.recorded ? "in " + path : "to compare with " + path));
    return false;
  }
  report.baseline = Compare(ChooseBaseline(std::move(inputs.profiles), report), *report.profile, report.table,
                            report.frames.get(), symbolizer);
  return true;
}

TextOptions TextOptionsFor(const Options& options, const std::string& file) {
  TextOptions text{.top = options.top, .look = {}};
  const char* no_colour = std::getenv("NO_COLOR");  // https://no-color.org: any value that is not empty
  text.look.colour = file.empty() && isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0');
  text.look.utf8 = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  return text;
}

void WriteOutput(Output output, const Options& options, const std::vector<Report>& reports,
                 const Symbolizer& symbolizer, std::ostream* out) {
  const std::string& file = *options.outputs[static_cast<size_t>(output)];
  switch (output) {
    case Output::kText:
      return WriteText(reports, TextOptionsFor(options, file), out);
    case Output::kJson:
      return WriteJson(reports, symbolizer.warnings(), out);
    case Output::kHtml:
      return WriteHtml(reports, options.metric, out);
    case Output::kFolded:
      return WriteFolded(reports[0], options.metric, out);
    case Output::kPprof:
      return WritePprof(reports[0], options.metric, out);
    case Output::kSpeedscope:
      return WriteSpeedscope(reports[0], options.metric, out);
    case Output::kJeprof:
      return WriteJeprof(reports[0], out);
  }
}

bool DeliverAll(const Options& options, const std::vector<Report>& reports, const Symbolizer& symbolizer) {
  bool delivered = true;
  for (const OutputKind& kind : kOutputs) {
    const OutputFile& file = options.outputs[static_cast<size_t>(kind.output)];
    if (!file) continue;
    if (kind.of_sites && !reports[0].recorded) {
      Complain(std::string(kind.flag) + " needs a recording or snapshot, and none was given");
      delivered = false;
      continue;
    }
    delivered &=
        Deliver(*file, [&](std::ostream* out) { WriteOutput(kind.output, options, reports, symbolizer, out); });
  }
  return delivered;
}

bool PushAll(const Options& options, const std::vector<Report>& reports) {
  if (!options.push.wanted()) return true;
  bool delivered = true;
  size_t recordings = 0;
  for (const Report& report : reports) {
    if (!report.recorded) continue;
    ++recordings;
    const Result<std::string> name = Push(report, options.metric, options.push);
    Complain(name.ok() ? "pushed " + name.value() : name.error().Text());
    delivered &= name.ok();
  }
  if (recordings == 0) Complain("--push needs a recording or snapshot, and none was given");
  return delivered && recordings > 0;
}

bool ConditionHolds(FailOn condition, const std::vector<Report>& reports) {
  switch (condition) {
    case FailOn::kNothing:
      return false;
    case FailOn::kSuspect:
      return std::any_of(reports.begin(), reports.end(), [](const Report& report) { return !report.suspects.empty(); });
    case FailOn::kOom:
      return std::any_of(reports.begin(), reports.end(), [](const Report& report) {
        const bool logged = report.evidence != nullptr && !report.evidence->kills.empty();
        return logged || report.incident.is_oom() || report.cgroup.oom_kills.value_or(0) > 0;
      });
  }
  return false;
}

// Adds the user's patterns. False, having said why, if the file that was asked for cannot be read.
bool AddHelpers(const std::string& wanted, HelperTable* helpers) {
  const std::string file = wanted.empty() ? DefaultHelpersFile() : wanted;
  const Result<std::string> text = ReadTextFile(file, "helpers");
  if (text.ok()) helpers->Add(text.value());
  if (!text.ok() && !wanted.empty()) Complain(text.error().Text());
  return text.ok() || wanted.empty();
}

int Run(Options options) {
  Suppressions suppressions;
  if (!options.suppressions.empty()) {
    Result<Suppressions> read = Suppressions::Read(options.suppressions);
    if (!read.ok()) {
      Complain(read.error().Text());
      return read.error().code == ErrorCode::kUsage ? kExitUsage : kExitNoReport;
    }
    suppressions = std::move(read).value();
  }
  if (!AddHelpers(options.helpers, &options.symbols.helpers)) return kExitNoReport;
  Inputs inputs = ReadInputs(options.paths);
  if (inputs.profiles.empty() && inputs.evidence == nullptr) return kExitNoReport;
  const bool evidence_is_whole = inputs.evidence == nullptr || IsWhole(*inputs.evidence);
  Symbolizer symbolizer(options.symbols);
  std::vector<Report> reports = MakeReports(std::move(inputs.profiles), suppressions, &symbolizer);
  if (inputs.evidence != nullptr) JoinEvidence(std::move(inputs.evidence), &reports);
  if (!AddBaseline(options.baseline, &symbolizer, &reports)) return kExitNoReport;
  const bool written = DeliverAll(options, reports, symbolizer);
  const bool delivered = PushAll(options, reports) && written;
  for (const std::string& warning : symbolizer.warnings()) Complain("warning: " + warning);
  if (!delivered) return kExitNoReport;
  if (ConditionHolds(options.fail_on, reports)) return kExitCondition;
  const bool damaged =
      inputs.failures > 0 || !evidence_is_whole ||
      std::any_of(reports.begin(), reports.end(), [](const Report& report) { return !report.profile->losses.empty(); });
  return damaged ? kExitDamagedInput : kExitOk;
}

}  // namespace
}  // namespace memtrace::tools

int main(int argc, char** argv) {
  memtrace::tools::InstallCrashHandler();
  std::setlocale(LC_CTYPE, "");
  memtrace::tools::Options options;
  if (const std::optional<int> status = memtrace::tools::ParseOptions(argc, argv, &options)) return *status;
  return memtrace::tools::Run(std::move(options));
}
