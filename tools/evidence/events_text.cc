#include "tools/evidence/events_text.h"

#include <algorithm>
#include <utility>

#include "tools/evidence/stamp.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr size_t kNowhere = std::string_view::npos;
constexpr size_t kLongestEvent = size_t{64} << 10;

bool IsHexId(std::string_view word) {
  return word.size() >= 12 && word.size() <= 64 && word.find_first_not_of("0123456789abcdef") == kNowhere;
}

// The value of an attribute in "(a=1, name=web, b=2)", or nothing if it was cut. Values may hold anything, so that the
// last one of that name, at the beginning of a word, is it.
std::string Attribute(std::string_view attributes, std::string_view name) {
  size_t at = kNowhere;
  for (const std::string_view before : {", ", "("}) {
    const std::string key = std::string(before) + std::string(name) + "=";
    const size_t found = attributes.rfind(key);
    if (found != kNowhere && (at == kNowhere || found + key.size() > at)) at = found + key.size();
  }
  if (at == kNowhere) return {};
  std::string_view value = attributes.substr(at);
  const size_t comma = value.find(", ");
  if (comma != kNowhere) return std::string(value.substr(0, comma));
  value = Trim(value);
  return value.ends_with(')') ? std::string(value.substr(0, value.size() - 1)) : std::string();
}

}  // namespace

void EventsText::Add(RuntimeEvent event) {
  if (evidence_.events.size() < kMostEvents) evidence_.events.push_back(std::move(event));
}

bool EventsText::Take(std::string_view line, uint32_t number) {
  if (!pending_.empty()) {
    const bool goes_on = !BeginsWithStamp(line) && !Trim(line).empty() && pending_.size() < kLongestEvent;
    if (goes_on) pending_ += Trim(line);
    if (!goes_on || Trim(line).ends_with(')')) {
      const std::string whole = std::exchange(pending_, {});
      TakeContainerEvent(whole, pending_line_);
    }
    if (goes_on) return true;
  }
  const std::string_view text = Trim(SkipQuoteMarks(line));
  if (text.empty()) return false;
  if (TakeDaemonLog(text, number)) return true;
  if (IsDigit(text.front())) {
    const bool is_event = Contains(text, " container ");
    if (is_event && Contains(text, " (") && !text.ends_with(')')) {
      const size_t before = evidence_.events.size();
      // Only what is an event on its own may wait for its end.
      if (!TakeContainerEvent(text, number)) return false;
      evidence_.events.resize(before);
      pending_ = text;
      pending_line_ = number;
      return true;
    }
    if (is_event && TakeContainerEvent(text, number)) return true;
    if (TakeTask(text, number) || TakeOldEvent(text, number)) return true;
  }
  return TakeKubernetes(text, number);
}

void EventsText::Finish() {
  if (pending_.empty()) return;
  const std::string whole = std::exchange(pending_, {});
  TakeContainerEvent(whole, pending_line_);
}

// "TIME container ACTION ID (ATTRIBUTES)"
bool EventsText::TakeContainerEvent(std::string_view line, uint32_t number) {
  constexpr std::string_view kContainer = " container ";
  const size_t at = line.find(kContainer);
  if (at == kNowhere) return false;
  RuntimeEvent event;
  event.time = MomentOf(line.substr(0, at));
  if (!event.time.unix_ns) return false;
  const std::string_view rest = line.substr(at + kContainer.size());
  const size_t attributes = rest.find(" (");
  const std::string_view head = rest.substr(0, attributes);
  const size_t blank = head.rfind(' ');
  if (blank == kNowhere || !IsHexId(head.substr(blank + 1))) return false;
  event.place = {file_, number};
  event.type = "container";
  event.action = Trim(head.substr(0, blank));
  event.id = head.substr(blank + 1);
  if (attributes != kNowhere) {
    const std::string_view list = rest.substr(attributes + 1);
    event.name = Attribute(list, "name");
    event.image = Attribute(list, "image");
    event.exit_code = WholeInt(Attribute(list, "exitCode"));
    if (!event.exit_code) event.exit_code = WholeInt(Attribute(list, "containerExitCode"));  // podman
    event.signal = WholeInt(Attribute(list, "signal"));
  }
  Add(std::move(event));
  return true;
}

// Docker before 1.10: "TIME ID: (from IMAGE) ACTION"
bool EventsText::TakeOldEvent(std::string_view line, uint32_t number) {
  const size_t from = line.find(": (from ");
  if (from == kNowhere) return false;
  const size_t blank = line.substr(0, from).rfind(' ');
  const size_t close = line.find(')', from);
  if (blank == kNowhere || close == kNowhere || !IsHexId(line.substr(blank + 1, from - blank - 1))) return false;
  RuntimeEvent event;
  event.place = {file_, number};
  event.time = MomentOf(line.substr(0, blank));
  event.type = "container";
  event.id = line.substr(blank + 1, from - blank - 1);
  event.image = line.substr(from + 8, close - from - 8);
  event.action = Trim(line.substr(close + 1));
  if (event.action.empty()) return false;
  Add(std::move(event));
  return true;
}

// containerd: "2020-05-15 23:09:27.1 +0000 UTC k8s.io /tasks/oom {"container_id":"1f0c..."}"
bool EventsText::TakeTask(std::string_view line, uint32_t number) {
  const size_t topic = line.find(" /tasks/");
  if (topic == kNowhere) return false;
  const std::string_view rest = line.substr(topic + 8);
  const auto id = Between(rest, "\"container_id\":\"", "\"");
  if (!id) return false;
  RuntimeEvent event;
  event.place = {file_, number};
  event.time = MomentOf(line.substr(0, line.substr(0, topic).rfind(' ')));
  event.type = "container";
  event.action = rest.substr(0, rest.find(' '));
  event.id = *id;
  if (const auto status = Between(rest, "\"exit_status\":", "}")) {
    std::string_view number_text = *status;
    const auto code = ConsumeNumber(&number_text);
    if (code && *code <= 255) event.exit_code = static_cast<int>(*code);
  }
  Add(std::move(event));
  return true;
}

// What the daemons log of themselves when the kernel's counters tell them of a kill.
bool EventsText::TakeDaemonLog(std::string_view line, uint32_t number) {
  struct Word {
    std::string_view text;
    std::string_view before_id;
    std::string_view action;
  };
  constexpr Word kWords[] = {{"TaskOOM event ", "container_id:", "oom"},  // containerd
                             {"TaskOOM event &", "ContainerID:", "oom"},
                             {"topic=/tasks/oom ", " container=", "oom"},  // dockerd
                             {"ot sys oom event", "", "SystemOOM"}};       // kubelet
  for (const Word& word : kWords) {
    const size_t at = line.find(word.text);
    const size_t key = line.find(word.before_id);
    if (at == kNowhere || key == kNowhere) continue;
    std::string_view id = line.substr(key + word.before_id.size());
    id.remove_prefix(std::min(id.find_first_not_of("\\\""), id.size()));
    id = id.substr(0, id.find_first_not_of("0123456789abcdef"));
    if (!word.before_id.empty() && !IsHexId(id)) continue;
    RuntimeEvent event;
    event.place = {file_, number};
    event.time = ParseStamp(line.substr(0, at)).moment;
    // Their own stamp has a zone, syslog's before it has none.
    if (const auto own = Between(line, "time=\"", "\"")) event.time = MomentOf(*own);
    event.type = word.before_id.empty() ? "Warning" : "container";
    event.action = word.action;
    if (!word.before_id.empty()) event.id = id;
    Add(std::move(event));
    return true;
  }
  return false;
}

// "5m  Warning  OOMKilling  node/a  Memory cgroup out of memory: ...", also inside of `kubectl describe`
bool EventsText::TakeKubernetes(std::string_view line, uint32_t number) {
  constexpr std::string_view kReasons[] = {"OOMKilling", "SystemOOM",
                                           "Evicted",    "Killing",
                                           "OOMKilled",  "EvictionThresholdMet",
                                           "BackOff",    "NodeHasInsufficientMemory"};
  const bool warning = Contains(line, "Warning ");
  if (!warning && !Contains(line, "Normal ")) return false;
  const std::vector<std::string_view> words = SplitWords(line);
  for (size_t i = 0; i + 1 < words.size() && i < 3; ++i) {
    if (words[i] != "Warning" && words[i] != "Normal") continue;
    if (std::find(std::begin(kReasons), std::end(kReasons), words[i + 1]) == std::end(kReasons)) return false;
    RuntimeEvent event;
    event.place = {file_, number};
    event.type = words[i];
    event.action = words[i + 1];
    const size_t reason = line.find(words[i + 1]);
    event.message = Trim(line.substr(reason + words[i + 1].size()));
    for (size_t j = i + 2; j < words.size() && j < i + 5; ++j) {
      if (words[j].starts_with("pod/") || words[j].starts_with("node/")) event.name = words[j];
    }
    Add(std::move(event));
    return true;
  }
  return false;
}

}  // namespace memtrace::tools
