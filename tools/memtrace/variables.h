// The MEMTRACE_ variables as options of a subcommand.
#ifndef MEMTRACE_TOOLS_MEMTRACE_VARIABLES_H_
#define MEMTRACE_TOOLS_MEMTRACE_VARIABLES_H_

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>

namespace memtrace::commands {

// Who asks for a recording wants its file, however little the program allocates.
inline constexpr const char* kKeep = "always";

struct VariableValues {
  std::map<std::string, std::string> values;  // by variable, of those that were given
  bool quiet = false;
};

// One option per variable that is meant for users, judged by the variable's own parser.
void AddVariableOptions(CLI::App* app, const std::shared_ptr<VariableValues>& values);

}  // namespace memtrace::commands

#endif  // MEMTRACE_TOOLS_MEMTRACE_VARIABLES_H_
