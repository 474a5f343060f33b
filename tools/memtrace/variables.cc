#include "tools/memtrace/variables.h"

#include <cctype>
#include <cstring>

#include "libmemtrace/config/options.h"

namespace memtrace::commands {
namespace {

std::string Str(rt::Text text) { return {text.data, text.size}; }

// MEMTRACE_SNAPSHOT_AT: --snapshot-at
std::string OptionName(const config::Variable& variable) {
  std::string name = "--" + Str(variable.name).substr(strlen("MEMTRACE_"));
  for (char& c : name) c = c == '_' ? '-' : static_cast<char>(tolower(c));
  return name;
}

// The variables' own parsers judge the values, so that option and variable take the same.
CLI::Validator ValueCheck(const config::Variable& variable) {
  const auto check = [&variable](std::string& value) -> std::string {
    config::Options scratch;
    if (!value.empty() && variable.parse(value.c_str(), &scratch)) return "";
    return "`" + value + "` is not usable: expected " + Str(variable.accepted);
  };
  return CLI::Validator(check, "");
}

}  // namespace

void AddVariableOptions(CLI::App* app, const std::shared_ptr<VariableValues>& values) {
  for (const config::Variable& variable : config::Variables()) {
    if (variable.help.empty()) continue;
    const std::string fallback = variable.name == "MEMTRACE_KEEP" ? kKeep : Str(variable.fallback);
    const std::string help =
        Str(variable.help) + " [" + Str(variable.name) + (fallback.empty() ? "" : ", default " + fallback) + "]";
    if (variable.name == "MEMTRACE_QUIET") {
      app->add_flag(OptionName(variable), values->quiet, "no line on standard error [MEMTRACE_QUIET]");
      continue;
    }
    const auto store = [values, name = Str(variable.name)](const std::string& value) { values->values[name] = value; };
    app->add_option_function<std::string>(OptionName(variable), store, help)
        ->check(ValueCheck(variable))
        ->type_name("")
        ->option_text(variable.name == "MEMTRACE_DIR" ? "DIR" : "VALUE");
  }
}

}  // namespace memtrace::commands
