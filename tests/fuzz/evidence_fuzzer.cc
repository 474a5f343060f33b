// Everything that is read beside recordings. Alone, the reader of the program, which recognises the kind of the input
// from its bytes; --parser=NAME, one of those below it, which so are reached by any input.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>

#include "tools/evidence/cgroup_files.h"
#include "tools/evidence/cgroup_text.h"
#include "tools/evidence/command_line.h"
#include "tools/evidence/container_text.h"
#include "tools/evidence/documents.h"
#include "tools/evidence/embedded_log.h"
#include "tools/evidence/events_text.h"
#include "tools/evidence/kernel_log.h"
#include "tools/evidence/monitor_csv.h"
#include "tools/evidence/notices.h"
#include "tools/evidence/parse_document.h"
#include "tools/evidence/read.h"
#include "tools/evidence/stats_table.h"
#include "tools/evidence/text.h"
#include "tools/evidence/unpack.h"

namespace memtrace::tools {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

// --- Parsers ---

void EachLine(std::string_view text, const std::function<void(std::string_view, uint32_t)>& take) {
  uint32_t number = 0;
  for (const std::string_view line : Split(text, '\n')) {
    std::string buffer;
    take(CleanLine(line, &buffer), ++number);
  }
}

template <typename Parser>
void ReadLinesWith(std::string_view text, Evidence* evidence) {
  Parser parser(0, evidence);
  EachLine(text, [&](std::string_view line, uint32_t number) { parser.Take(line, number); });
  if constexpr (requires { parser.Finish(); }) parser.Finish();
}

void ReadKernelLog(std::string_view text, Evidence* evidence) {
  KillList kills(evidence);
  KernelLog log(0, evidence, &kills);
  EachLine(text, [&](std::string_view line, uint32_t number) { log.Take(line, number); });
  log.Finish();
}

// The first line is the name of the file.
void ReadCgroup(std::string_view text, Evidence* evidence) {
  CgroupCollector collector(0, evidence);
  EachLine(text, [&](std::string_view line, uint32_t number) {
    if (ShapeOfCgroupFile(line) != CgroupFileShape::kUnknown) collector.BeginFile("", line, number);
    if (number > 1) collector.TakeLine(line);
  });
  collector.Finish();
  ReadLinesWith<CgroupText>(text, evidence);
}

void ReadNotices(std::string_view text, Evidence* evidence) {
  EachLine(text, [&](std::string_view line, uint32_t) {
    if (auto notice = ParseNotice(line)) evidence->notices.push_back(*notice);
    ParseStamp(line);
    BeginsWithStamp(line);
  });
}

void ReadCommands(std::string_view text, Evidence* evidence) {
  if (auto declared = ParseRunLine(text)) evidence->declared.push_back(*declared);
}

template <auto... kTake>
void ReadDocuments(std::string_view text, Evidence* evidence) {
  Locator places(0, text, 1);
  const auto take = [&](const JsonValue& document) {
    (kTake(document, {evidence, &places}), ...);
    if (document.is_array())
      for (const JsonValue& element : document) (kTake(element, {evidence, &places}), ...);
  };
  for (const std::string_view part : SplitJson(text))
    if (const auto document = ParseJson(part)) take(*document);
  for (const JsonValue& document : ParseYaml(text)) take(document);
}

void ReadEmbeddedLog(std::string_view text, Evidence*) {
  for (const std::string_view part : SplitJson(text)) {
    const auto document = ParseJson(part);
    if (!document) continue;
    IsLogEntry(*document);
    ForEachText(*document, [](std::string_view, const Stamp&) {});
  }
  FieldLines fields;
  bool is_field = false;
  EachLine(text, [&](std::string_view line, uint32_t) { fields.Take(line, &is_field); });
}

// In pieces of any size the same comes out, and not without end.
void ReadPacked(std::string_view text, Evidence*) {
  const auto unpacked = [text](size_t piece) {
    std::string_view rest = text;
    const Unpacked from = Unpack([rest, piece](std::span<char> to) mutable {
      const size_t count = rest.copy(to.data(), std::min(piece, to.size()));
      rest.remove_prefix(count);
      return count;
    });
    std::string all;
    constexpr size_t kMost = size_t{4} << 20;
    std::string buffer(piece, '\0');
    while (const size_t count = from.source(std::span(buffer))) {
      all.append(buffer, 0, count);
      if (all.size() > kMost) break;
    }
    return all.substr(0, kMost);
  };
  Check(unpacked(4093) == unpacked(65536));
}

void ReadAll(std::string_view text, Evidence* evidence) {
  evidence->files.clear();
  ReadEvidenceText(text, "input", evidence);
  ReadEvidenceText(text, "again", evidence);
}

struct Parser {
  std::string_view name;
  void (*read)(std::string_view text, Evidence* evidence);
};
constexpr Parser kParsers[] = {
    {"all", ReadAll},  // without --parser
    {"kernel_log", ReadKernelLog},
    {"notices", ReadNotices},
    {"embedded_log", ReadEmbeddedLog},
    {"docker", ReadDocuments<TakeDockerInspect, TakeRuntimeEvent, TakeStats>},
    {"kubernetes", ReadDocuments<TakeKubernetes, TakeCriInspect>},
    {"compose", ReadDocuments<TakeCompose>},
    {"container_text", ReadLinesWith<ContainerText>},
    {"events", ReadLinesWith<EventsText>},
    {"stats", ReadLinesWith<StatsTable>},
    {"csv", ReadLinesWith<MonitorCsv>},
    {"cgroup", ReadCgroup},
    {"command_line", ReadCommands},
    {"unpack", ReadPacked},
};
const Parser* g_parser = &kParsers[0];

// --- What holds for all of them ---

// No number is made up: its digits stand in the input one after the other, though a line may break between them.
void CheckNumbers(std::string_view text, const Evidence& evidence) {
  std::string digits;
  for (const char c : text)
    if (IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) digits += c;
  const auto stands = [&digits](uint64_t number) {
    return number < 10 || digits.find(std::to_string(number)) != std::string::npos;
  };
  for (const OomKill& kill : evidence.kills) Check(stands(kill.pid) && stands(kill.anon_rss_kb.value_or(0)));
}

void CheckFacts(std::string_view text, const Evidence& evidence) {
  const auto is_place = [&](Place place) { return place.file < evidence.files.size(); };
  for (const OomKill& kill : evidence.kills) {
    Check(is_place(kill.place) && kill.pid != 0 && kill.lines != 0);
    Check(!kill.report || *kill.report < evidence.reports.size());
    Check(kill.scope != OomScope::kGlobal || (!kill.limit_kb && kill.oom_memcg.empty()));
  }
  for (const OomReport& report : evidence.reports) {
    Check(is_place(report.place));
    for (const uint32_t kill : report.kills) Check(kill < evidence.kills.size());
  }
  for (const ContainerState& state : evidence.containers) Check(is_place(state.place));
  for (const CgroupFiles& files : evidence.cgroups) Check(is_place(files.place));
  for (const RuntimeEvent& event : evidence.events) Check(is_place(event.place));
  // Escapes, encodings and compression stand for digits that are not there.
  constexpr std::string_view kEncoded = "\\=\x1b\x1f";
  if (text.find_first_of(kEncoded) == std::string_view::npos && text.find('\0') == std::string_view::npos)
    CheckNumbers(text, evidence);
}

}  // namespace
}  // namespace memtrace::tools

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  using memtrace::tools::kParsers;
  constexpr std::string_view kOption = "--parser=";  // libFuzzer passes over what begins with two dashes
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (!argument.starts_with(kOption)) continue;
    const auto* parser = std::find_if(std::begin(kParsers), std::end(kParsers),
                                      [&](const auto& p) { return p.name == argument.substr(kOption.size()); });
    memtrace::tools::Check(parser != std::end(kParsers));
    memtrace::tools::g_parser = parser;
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  memtrace::tools::Evidence evidence;
  evidence.files.push_back({"input", {}, {}});
  memtrace::tools::g_parser->read(text, &evidence);
  memtrace::tools::CheckFacts(text, evidence);
  return 0;
}
