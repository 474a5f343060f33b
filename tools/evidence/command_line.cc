#include "tools/evidence/command_line.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr std::string_view kCommands[] = {"docker run",  "docker create",  "docker update", "docker container run",
                                          "podman run",  "podman create",  "podman update", "docker container create",
                                          "nerdctl run", "nerdctl create", "nerdctl update"};
// The options without a value; see `docker run --help` and `podman run --help`.
constexpr std::string_view kFlags[] = {"detach",
                                       "interactive",
                                       "tty",
                                       "rm",
                                       "init",
                                       "privileged",
                                       "read-only",
                                       "publish-all",
                                       "quiet",
                                       "no-healthcheck",
                                       "sig-proxy",
                                       "disable-content-trust",
                                       "replace",
                                       "no-hosts",
                                       "env-host",
                                       "http-proxy",
                                       "tls-verify",
                                       "rmi",
                                       "oom-kill-disable"};

// As a shell splits, but for expansion.
std::vector<std::string> ShellWords(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool open = false;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      open = true;
    } else if (IsBlank(c) || c == '\n') {
      if (open) words.push_back(std::move(word));
      word.clear();
      open = false;
    } else if (c == ';' || c == '|' || c == '&' || c == '`') {
      break;  // another command
    } else {
      if (c == '\\' && i + 1 < text.size()) ++i;
      word += text[i];
      open = true;
    }
  }
  if (open) words.push_back(std::move(word));
  return words;
}

Number RamOrNone(std::string_view value) {
  if (value == "-1") return kNoLimit;
  const Number bytes = ParseSize(value, UnitStyle::kRam);
  return bytes && *bytes == 0 ? Number(kNoLimit) : bytes;  // 0 is docker's word for none
}

void TakeOption(std::string_view name, std::string_view value, DeclaredLimits* declared) {
  Limits& limits = declared->limits;
  if (name == "memory" || name == "m") limits.memory_bytes = RamOrNone(value);
  // 0 is as if it were not there.
  if (name == "memory-swap" && value != "0") limits.memory_swap_bytes = RamOrNone(value);
  if (name == "memory-reservation") limits.reservation_bytes = ParseSize(value, UnitStyle::kRam);
  if (name == "pids-limit") {
    const Number pids = WholeNumber(value);
    limits.pids = value == "-1" || (pids && *pids == 0) ? Number(kNoLimit) : pids;
  }
  if (name == "oom-kill-disable") limits.oom_kill_disable = value != "false";
  if (name == "name") declared->name = value;
}

size_t CommandAt(std::string_view line, std::string_view* command) {
  for (const std::string_view known : kCommands) {
    const size_t at = line.find(known);
    if (at == std::string_view::npos) continue;
    const size_t end = at + known.size();
    if (end < line.size() && !IsBlank(line[end])) continue;
    *command = known;
    return at;
  }
  return std::string_view::npos;
}

}  // namespace

bool HasRunCommand(std::string_view line) {
  std::string_view command;
  return CommandAt(line, &command) != std::string_view::npos;
}

std::optional<DeclaredLimits> ParseRunLine(std::string_view line) {
  std::string_view command;
  const size_t at = CommandAt(line, &command);
  if (at == std::string_view::npos) return std::nullopt;
  DeclaredLimits declared;
  declared.origin = command;
  const std::vector<std::string> words = ShellWords(line.substr(at + command.size()));
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (!word.starts_with('-') || word == "-") {
      declared.image = word;  // of `update`: the container
      break;
    }
    const bool is_long = Consume(&word, "--");
    if (!is_long) word.remove_prefix(1);
    const size_t equals = word.find('=');
    if (equals != std::string_view::npos) {
      TakeOption(word.substr(0, equals), word.substr(equals + 1), &declared);
    } else if (is_long && std::find(std::begin(kFlags), std::end(kFlags), word) != std::end(kFlags)) {
      TakeOption(word, "true", &declared);
    } else if (is_long || word == "m") {
      if (i + 1 < words.size()) TakeOption(word, words[++i], &declared);
    } else if (word.starts_with('m')) {
      TakeOption("m", word.substr(1), &declared);  // -m512m
    } else if (word.find_first_not_of("ditPq") != std::string_view::npos) {
      const bool value_inside = word.size() > 1 && Contains("aceuvhlpw", word.substr(0, 1));
      if (!value_inside) ++i;
    }
  }
  if (declared.origin.ends_with("update")) declared.name = std::exchange(declared.image, {});
  if (!declared.limits.any()) return std::nullopt;
  return declared;
}

}  // namespace memtrace::tools
