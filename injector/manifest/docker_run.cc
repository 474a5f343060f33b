#include <algorithm>
#include <cstddef>
#include <string_view>

#include "injector/manifest/manifest.h"

namespace memtrace::injector {
namespace {

// As a shell reads it.
std::string ShellWord(const std::string& word) {
  constexpr const char* kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// The value of `-e LD_PRELOAD=...` in any of its spellings, which is taken out of the command: ours carries it on.
std::string TakePreload(std::vector<std::string>* command) {
  constexpr std::string_view kName = "LD_PRELOAD=";
  for (size_t i = 0; i < command->size(); ++i) {
    const std::string& word = (*command)[i];
    for (const std::string_view option : {"-e", "--env", "--env="}) {
      const bool apart = word == option;
      const std::string_view value =
          apart ? (i + 1 < command->size() ? std::string_view((*command)[i + 1]) : std::string_view())
          : word.starts_with(option) ? std::string_view(word).substr(option.size())
                                     : std::string_view();
      if (!value.starts_with(kName)) continue;
      const std::string existing(value.substr(kName.size()));
      const auto at = command->begin() + static_cast<ptrdiff_t>(i);
      command->erase(at, at + (apart ? 2 : 1));
      return existing;
    }
  }
  return "";
}

}  // namespace

ManifestOutcome DockerRunLine(const std::vector<std::string>& command, const Injection& injection) {
  ManifestOutcome outcome;
  std::vector<std::string> words = command;
  auto verb = std::find_if(words.begin(), words.end(),
                           [](const std::string& word) { return word == "run" || word == "create"; });
  if (!words.empty() && verb == words.end()) {
    outcome.error = "this is no `docker run` or `docker create`";
    return outcome;
  }
  const auto verb_index = verb - words.begin();
  const std::string existing = TakePreload(&words);
  std::vector<std::string> options = {"-v", injection.library + ":" + injection.directory + "/libmemtrace.so:ro", "-v",
                                      injection.volume + ":" + injection.directory + "/recordings"};
  for (const auto& [name, value] : InjectedVariables(injection, existing)) {
    options.push_back("-e");
    options.push_back(name + "=" + value);
  }
  const auto place = words.empty() ? words.end() : words.begin() + verb_index + 1;
  words.insert(place, options.begin(), options.end());
  for (const std::string& word : words) outcome.text += (outcome.text.empty() ? "" : " ") + ShellWord(word);
  outcome.text += "\n";
  return outcome;
}

}  // namespace memtrace::injector
