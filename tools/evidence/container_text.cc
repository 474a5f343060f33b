#include "tools/evidence/container_text.h"

#include <algorithm>
#include <utility>

#include "tools/evidence/stamp.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr size_t kNowhere = std::string_view::npos;

struct Field {
  std::string key;  // lower case, letters only: "Exit Code" and "exitCode" are one
  std::string_view value;
};

std::string PlainKey(std::string_view text) {
  std::string key;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') key += static_cast<char>(c - 'A' + 'a');
    if (c >= 'a' && c <= 'z') key += c;
  }
  return key;
}

bool IsKeyText(std::string_view text) {
  text = Trim(text);
  if (text.empty() || text.size() > 32) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ' || c == '_' || c == '"' || c == '.' || c == '-';
  });
}

bool IsTimeKey(const std::string& key) { return key.starts_with("start") || key.starts_with("finish"); }

// A value up to what ends it: the quote that began it, a comma or brace, an arrow that somebody drew.
std::string_view ValueOf(std::string_view rest, const std::string& key) {
  rest = Trim(rest);
  if (Consume(&rest, "\"")) return rest.substr(0, rest.find('"'));
  rest = rest.substr(0, std::min(rest.find("<-"), rest.find(" #")));
  if (!IsTimeKey(key)) rest = rest.substr(0, rest.find_first_of(",}"));
  return Trim(rest);
}

// "ExitCode=137  OOMKilled=true", "OOMKilled: true, ExitCode: 137", "\"Status\": \"exited\",", "Exit Code:  137"
std::vector<Field> FieldsOf(std::string_view line) {
  std::vector<Field> fields;
  std::string_view rest = Trim(line);
  while (!rest.empty() && (rest.front() == '{' || rest.front() == '[')) rest.remove_prefix(1);
  if (rest.starts_with("- ")) rest.remove_prefix(2);
  constexpr size_t kMostFields = 64;
  while (fields.size() < kMostFields && !rest.empty()) {
    const size_t separator = rest.find_first_of(":=");
    if (separator == kNowhere || !IsKeyText(rest.substr(0, separator))) break;
    const bool words = rest[separator] == '=';
    std::string_view key_text = rest.substr(0, separator);
    if (words) key_text = key_text.substr(key_text.find_last_of(" ") + 1);  // npos + 1 is 0
    std::string key = PlainKey(key_text);
    rest = rest.substr(separator + 1);
    std::string_view value = ValueOf(rest, key);
    if (words) value = value.substr(0, value.find(' '));
    if (value.data() != nullptr && !value.empty()) {
      rest.remove_prefix(static_cast<size_t>(value.data() + value.size() - rest.data()));
    }
    fields.push_back({std::move(key), value});
    const size_t next = rest.find_first_of(words ? ", " : ",");
    if (next == kNowhere) break;
    rest = Trim(rest.substr(next + 1));
  }
  return fields;
}

std::optional<bool> ParseBool(std::string_view value) {
  const std::string lower = Lower(value);
  if (lower == "true") return true;
  return lower == "false" ? std::optional(false) : std::nullopt;
}

constexpr std::string_view kDockerStatus[] = {"created", "running", "paused",  "restarting", "removing",
                                              "exited",  "dead",    "stopped", "configured", "initialized"};

bool IsStrong(const ContainerState& state) { return state.oom_killed || state.exit_code || IsOomReason(state.reason); }

}  // namespace

bool IsOomReason(std::string_view reason) {
  return PlainKey(reason) == "oomkilled" || Lower(reason).starts_with("outofmemoryerror: container killed");
}

bool IsDockerStatus(std::string_view word) {
  return std::find(std::begin(kDockerStatus), std::end(kDockerStatus), word) != std::end(kDockerStatus);
}

bool ContainerText::Take(std::string_view line, uint32_t number) {
  const std::string_view text = Trim(SkipQuoteMarks(line));
  if (text.empty() || text.size() > 4096) return false;
  if (TakeGoState(text, number) || TakePsRow(text, number) || TakePodRow(text, number) || TakeBare(text, number))
    return true;
  if (BeginsWithStamp(text)) return false;  // what services log of themselves is not a runtime's word
  bool taken = TakeStructure(line);
  for (const Field& field : FieldsOf(text)) taken = TakeField(field.key, field.value, number) || taken;
  return taken;
}

// Sections of `kubectl describe`, and the objects of a JSON excerpt.
bool ContainerText::TakeStructure(std::string_view line) {
  const size_t indent = std::min(line.find_first_not_of(' '), line.size());
  const std::string_view text = Trim(line);
  if (text == "Containers:" || text == "Init Containers:") {
    in_containers_ = true;  // first: the pod's name stays
    FlushContainer();
    return true;
  }
  if (indent == 0 && text.ends_with(':')) in_containers_ = false;
  if (line.starts_with("Name:")) {  // another pod
    FlushContainer();
    in_containers_ = false;
    identity_ = {};
  }
  if (in_containers_ && indent == 2 && text.ends_with(':') && !Contains(text, " ")) {
    FlushContainer();
    identity_.name = text.substr(0, text.size() - 1);
    return true;
  }
  if (text == "Limits:" || text == "Requests:") {
    section_ = text == "Limits:" ? kLimits : kRequests;
    return true;
  }
  if (text.ends_with('{') && text.starts_with('"')) {
    if (const auto key = Between(text, "\"", "\"")) objects_.emplace_back(*key);
    constexpr size_t kDeepest = 64;
    if (objects_.size() > kDeepest) objects_.clear();
  } else if (text.starts_with('}') && !objects_.empty()) {
    objects_.pop_back();
  }
  return false;
}

// What Go prints for {{.State}}: {exited false false false true false 0 137  2021-... 2021-... <nil>}; the booleans
// are Running, Paused, Restarting, OOMKilled, Dead (api/types/container, State).
bool ContainerText::TakeGoState(std::string_view line, uint32_t number) {
  Consume(&line, "&");
  if (!Consume(&line, "{")) return false;
  const std::vector<std::string_view> words = SplitWords(line);
  if (words.size() < 8 || !IsDockerStatus(words[0])) return false;
  std::optional<bool> flags[5];
  for (size_t i = 0; i < 5; ++i) {
    flags[i] = ParseBool(words[i + 1]);
    if (!flags[i]) return false;
  }
  BeginState();
  state_.place = {file_, number};
  state_.runtime = "docker";
  state_.status = words[0];
  state_.running = flags[0];
  state_.oom_killed = flags[3];
  const auto pid = WholeNumber(words[6]);
  if (pid && *pid > 0 && *pid <= UINT32_MAX) state_.pid = static_cast<uint32_t>(*pid);
  state_.exit_code = WholeInt(words[7]);
  FlushContainer();
  return true;
}

// A row of `docker ps -a`: "3f2a...  image  "cmd"  2 hours ago  Exited (137) 3 minutes ago  ...  name"
bool ContainerText::TakePsRow(std::string_view line, uint32_t number) {
  const auto code = Between(line, "Exited (", ")");
  if (!code || !WholeInt(*code)) return false;
  const std::vector<std::string_view> words = SplitWords(line);
  BeginState();
  state_.place = {file_, number};
  state_.status = "exited";
  state_.running = false;
  state_.exit_code = WholeInt(*code);
  const bool has_id = words[0].size() >= 12 && words[0].find_first_not_of("0123456789abcdef") == kNowhere;
  if (has_id) {
    identity_.id = words[0];
    identity_.name = words.back();
    if (words.size() > 2) identity_.image = words[1];
  }
  FlushContainer();
  return true;
}

// A row of `kubectl get pods` that says how it ended: "web-0  0/1  OOMKilled  3 (41s ago)  5m", with -A behind the
// namespace.
bool ContainerText::TakePodRow(std::string_view line, uint32_t number) {
  if (!Contains(line, "OOMKilled") && !Contains(line, " Evicted ")) return false;
  const std::vector<std::string_view> words = SplitWords(line);
  const auto is_ready = [](std::string_view word) {
    return ConsumeNumber(&word) && Consume(&word, "/") && ConsumeNumber(&word) && word.empty();
  };
  const size_t name = words.size() > 1 && is_ready(words[1]) ? 0 : 1;
  if (words.size() < name + 5 || !is_ready(words[name + 1])) return false;
  std::string_view status = words[name + 2];
  Consume(&status, "Init:");
  const auto restarts = WholeNumber(words[name + 3]);
  if (!restarts || *restarts > UINT32_MAX) return false;
  if (status == "Evicted") {
    Notice notice{{file_, number}, {}, NoticeKind::kEviction, std::string(words[name]), {}};
    evidence_.notices.push_back(std::move(notice));
    return true;
  }
  if (!IsOomReason(status) || evidence_.containers.size() >= kMostContainers) return false;
  ContainerState state;
  state.place = {file_, number};
  state.runtime = "kubernetes";
  state.pod = words[name];
  if (name == 1) state.name_space = words[0];
  state.status = "terminated";
  state.reason = status;
  state.oom_killed = true;
  state.restart_count = static_cast<uint32_t>(*restarts);
  evidence_.containers.push_back(std::move(state));
  return true;
}

// The whole output of a --format: "true 137", "/web true 137", "137 true"
bool ContainerText::TakeBare(std::string_view line, uint32_t number) {
  if (number != 1) return false;
  std::vector<std::string_view> words = SplitWords(line);
  ContainerState state;
  if (!words.empty() && words[0].starts_with('/')) {
    state.name = words[0].substr(1);
    words.erase(words.begin());
  }
  if (words.size() != 2) return false;
  for (const std::string_view word : words) {
    if (const auto flag = ParseBool(word)) state.oom_killed = flag;
    const auto code = WholeInt(word);
    if (code && *code >= 0 && *code <= 255) state.exit_code = code;
  }
  if (!state.oom_killed || !state.exit_code) return false;
  state.place = {file_, number};
  evidence_.containers.push_back(std::move(state));
  return true;
}

bool ContainerText::TakeField(const std::string& key, std::string_view value, uint32_t number) {
  if (key == "oomkilled" && !ParseBool(value)) return false;
  const bool taken = TakeState(key, value) || TakeIdentity(key, value);
  if (taken && state_.place.line == 0) state_.place = {file_, number};
  if (key == "oomkilled" || key == "exitcode" || (key == "reason" && IsOomReason(value)))
    state_.place = {file_, number};
  return taken;
}

bool ContainerText::TakeState(const std::string& key, std::string_view value) {
  const bool is_null = value == "null" || value.empty() || value == "{";
  if (key == "state" || key == "laststate") {
    // "State:  Terminated" of describe; the objects of JSON and YAML have no value here.
    BeginState();
    previous_ = key == "laststate";
    state_.previous = previous_;
    if (!is_null && value.find(' ') == kNowhere) state_.status = Lower(value);
    return true;
  }
  if (key == "terminated" || key == "waiting" || (key == "running" && !ParseBool(value))) {
    if (is_null && (previous_ || state_.status.empty())) state_.status = key;
    return is_null;
  }
  if (key == "status") {
    if (!IsDockerStatus(value)) return false;
    if (!state_.status.empty()) BeginState();
    state_.status = value;
    return true;
  }
  if (key == "running") {
    state_.running = ParseBool(value);
    return true;
  }
  if (key == "oomkilled") {
    if (state_.oom_killed) BeginState();
    state_.oom_killed = ParseBool(value);
    return true;
  }
  if (key == "exitcode") {
    const auto code = WholeInt(value);
    if (!code) return false;
    if (state_.exit_code) BeginState();
    state_.exit_code = code;
    return true;
  }
  if (key == "reason") {
    if (is_null) return false;
    state_.reason = value;
    if (IsOomReason(value)) state_.oom_killed = true;
    return true;
  }
  if (key == "error") {
    state_.error = value;
    return true;
  }
  if (key == "pid") {
    const auto pid = WholeNumber(value);
    if (pid && *pid > 0 && *pid <= UINT32_MAX) state_.pid = static_cast<uint32_t>(*pid);
    return pid.has_value();
  }
  if (key == "startedat" || key == "started") {
    state_.started = MomentOf(value);
    return true;
  }
  if (key == "finishedat" || key == "finished") {
    state_.finished = MomentOf(value);
    return true;
  }
  return false;
}

bool ContainerText::TakeIdentity(const std::string& key, std::string_view value) {
  if (value.empty() || value == "null") return false;
  if (key == "restartcount") {
    const auto count = WholeNumber(value);
    if (count && *count <= UINT32_MAX) identity_.restart_count = static_cast<uint32_t>(*count);
    return count.has_value();
  }
  if (key == "memory" && section_ != kNoSection) {
    const auto bytes = ParseSize(value, UnitStyle::kKubernetes);
    (section_ == kLimits ? identity_.limits.memory_bytes : identity_.limits.reservation_bytes) = bytes;
    return true;
  }
  if (key == "containerid") {
    const size_t scheme = value.find("://");
    if (identity_.runtime.empty() && scheme != kNowhere) identity_.runtime = "kubernetes";
    identity_.id = scheme == kNowhere ? value : value.substr(scheme + 3);
    return true;
  }
  std::string* text = key == "image" ? &identity_.image : key == "namespace" ? &identity_.name_space : nullptr;
  if (key == "name" && Consume(&value, "/")) {  // of docker
    identity_.name = value;
    return false;
  }
  if (key == "name") text = in_containers_ || !identity_.pod.empty() ? &identity_.name : &identity_.pod;
  if (text == nullptr || value.find(' ') != kNowhere) return false;
  *text = value;
  return false;  // alone it says nothing
}

void ContainerText::BeginState() {
  if (IsStrong(state_)) states_.push_back(std::move(state_));
  state_ = {};
  state_.previous = previous_;
  section_ = kNoSection;
}

void ContainerText::FlushContainer() {
  BeginState();
  // The name of an object that is no part of a state: "oom-test": { "state": { "termination": {
  constexpr std::string_view kParts[] = {"state", "State", "lastState", "termination", "terminated", "running", "info"};
  for (const std::string& object : objects_) {
    const bool is_part = std::find(std::begin(kParts), std::end(kParts), object) != std::end(kParts);
    if (identity_.name.empty() && !is_part) identity_.name = object;
  }
  for (ContainerState& state : states_) {
    if (evidence_.containers.size() >= kMostContainers) break;
    if (state.runtime.empty()) state.runtime = identity_.runtime;
    state.id = identity_.id;
    state.name = identity_.name;
    state.image = identity_.image;
    state.pod = identity_.pod;
    state.name_space = identity_.name_space;
    state.restart_count = identity_.restart_count;
    state.limits = identity_.limits;
    evidence_.containers.push_back(std::move(state));
  }
  states_.clear();
  const ContainerState pod = std::exchange(identity_, {});
  if (in_containers_) {
    identity_.pod = pod.pod;
    identity_.name_space = pod.name_space;
  }
  previous_ = false;
}

void ContainerText::Finish() { FlushContainer(); }

}  // namespace memtrace::tools
