#include "tools/evidence/text_evidence.h"

#include <utility>

#include "tools/evidence/command_line.h"
#include "tools/evidence/documents.h"
#include "tools/evidence/notices.h"
#include "tools/evidence/parse_document.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr uint64_t kLinesToJudgeBy = 512;
constexpr size_t kLongestCommand = size_t{64} << 10;

// "data: {...}" of json-sse; a record separator of json-seq; behind a time and a tag (fluentd)
std::string_view JsonOfLine(std::string_view line) {
  std::string_view text = Trim(line);
  if (!text.ends_with('}')) return {};
  Consume(&text, "data:");
  Consume(&text, "\x1e");
  text = Trim(text);
  if (text.starts_with('{')) return text;
  const size_t begin = text.find("{\"");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

}  // namespace

TextEvidence::TextEvidence(uint32_t file, Evidence* evidence, KillList* kills)
    : file_(file),
      evidence_(*evidence),
      kernel_(file, evidence, kills),
      csv_(file, evidence),
      stats_(file, evidence),
      events_(file, evidence),
      cgroup_(file, evidence),
      containers_(file, evidence) {}

bool TextEvidence::Take(std::string_view line, uint32_t number) {
  std::string buffer;
  const std::string_view clean = CleanLine(line, &buffer);
  if (seen_lines_ < kLinesToJudgeBy && !Trim(clean).empty()) {
    ++seen_lines_;
    if (BeginsWithStamp(clean)) ++stamped_lines_;
  }
  if (const auto taken = TakeJsonLine(clean, number)) return *taken;
  if (!Contains(clean, "\\n")) return TakeClean(clean, number);
  bool taken = false;  // several lines in one string of some other format
  for (std::string_view rest = clean; !rest.empty();) {
    const size_t end = rest.find("\\n");
    taken = TakeClean(rest.substr(0, end), number) || taken;
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 2);
  }
  return taken;
}

std::optional<bool> TextEvidence::TakeJsonLine(std::string_view line, uint32_t number) {
  const std::string_view text = JsonOfLine(line);
  if (text.empty()) return std::nullopt;
  const std::optional<JsonValue> document = ParseJson(text);
  if (!document) return std::nullopt;
  Locator places(file_, text, number);
  const std::string_view before = line.substr(0, static_cast<size_t>(text.data() - line.data()));
  const Stamp prefix = ParseStamp(before);
  const bool tagged = prefix.moment.known();  // what follows may be the values of a message of its own
  if (!tagged && TakeDocument(*document, {&evidence_, &places})) {
    const std::string message = TextAt(*document, {"message"});  // of a Kubernetes event
    if (!message.empty()) TakeLogText(message, number, StampOf(*document));
    return true;
  }
  if (!IsLogEntry(*document)) return std::nullopt;
  if (seen_lines_ <= kLinesToJudgeBy && !tagged) ++stamped_lines_;
  bool taken = false;
  ForEachText(*document, [&](std::string_view part, const Stamp& stamp) {
    taken = TakeLogText(part, number, stamp.moment.known() ? stamp : prefix) || taken;
  });
  return taken;
}

bool TextEvidence::TakeLogText(std::string_view text, uint32_t number, const Stamp& stamp) {
  bool taken = false;
  for (const std::string_view line : Split(text, '\n')) {
    std::string buffer;
    const std::string_view clean = CleanLine(line, &buffer);
    // A stamp of the line's own, as in {"log": "[12.3] ..."}, is at least as good.
    taken = events_.Take(clean, number) || taken;
    taken = kernel_.Take(clean, number, stamp.moment.known() ? &stamp : nullptr) || taken;
    taken = TakeNotice(clean, number, stamp.moment) || taken;
  }
  kernel_.EndOfText();
  return taken;
}

// `time` is that of what the line stands in, if that has one.
bool TextEvidence::TakeNotice(std::string_view line, uint32_t number, const Moment& time) {
  constexpr size_t kMostNotices = 100000;
  auto notice = ParseNotice(line);
  if (!notice) return false;
  notice->place = {file_, number};
  if (time.known()) notice->time = time;
  if (evidence_.notices.size() < kMostNotices) evidence_.notices.push_back(std::move(*notice));
  return true;
}

bool TextEvidence::TakeClean(std::string_view line, uint32_t number) {
  bool is_field = false;
  if (const auto message = fields_.Take(line, &is_field); message && fields_.stamp().moment.known())
    return TakeLogText(*message, number, fields_.stamp());
  if (is_field && seen_lines_ <= kLinesToJudgeBy) ++stamped_lines_;
  if (!command_.empty() ||
      ((Contains(line, "docker ") || Contains(line, "podman ") || Contains(line, "nerdctl ")) && HasRunCommand(line))) {
    if (command_.empty()) command_line_ = number;
    std::string_view part = Trim(line);
    const bool goes_on = part.ends_with('\\') && command_.size() < kLongestCommand;
    if (goes_on) part.remove_suffix(1);
    command_ += std::string(part) + ' ';
    if (goes_on) return true;
    auto declared = ParseRunLine(std::exchange(command_, {}));
    if (declared) {
      declared->place = {file_, command_line_};
      evidence_.declared.push_back(std::move(*declared));
      return true;
    }
  }
  const bool is_event = events_.Take(line, number);
  if (kernel_.Take(line, number) || is_event) return true;
  if (TakeNotice(line, number, {})) return true;
  return csv_.Take(line, number) || stats_.Take(line, number) || cgroup_.Take(line, number) ||
         containers_.Take(line, number);
}

void TextEvidence::Finish() {
  kernel_.Finish();
  events_.Finish();
  cgroup_.Finish();
  containers_.Finish();
}

}  // namespace memtrace::tools
