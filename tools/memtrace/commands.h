// The subcommands of `memtrace`. Each declares its command line; when that is what the user typed, it
// leaves in `*action` what to do, which returns the exit status.
#ifndef MEMTRACE_TOOLS_MEMTRACE_COMMANDS_H_
#define MEMTRACE_TOOLS_MEMTRACE_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace memtrace::commands {

inline constexpr int kStatusUsage = 2;

using Action = std::function<int()>;
// What follows a "--" on the command line; empty if there is none.
using Tail = std::optional<std::vector<std::string>>;

void AddRun(CLI::App* app, const Tail* tail, Action* action);
void AddAttach(CLI::App* app, Action* action);
void AddDetach(CLI::App* app, Action* action);
void AddCollect(CLI::App* app, Action* action);
void AddCheck(CLI::App* app, Action* action);
void AddDoctor(CLI::App* app, Action* action);
void AddEnv(CLI::App* app, Action* action);
void AddInject(CLI::App* app, const Tail* tail, Action* action);
void AddInstall(CLI::App* app, Action* action);
void AddLib(CLI::App* app, Action* action);
void AddMonitor(CLI::App* app, Action* action);
void AddSnapshot(CLI::App* app, Action* action);

// For CLI11's check(): empty if `text` is a whole number above 0, else what is wrong with it, as "`x` is no WHAT".
std::string NoWholeNumber(const std::string& text, const char* what);

// "memtrace: text" and a newline, to standard error. On one line, and nothing in it that a terminal would obey.
void Say(const std::string& text);

}  // namespace memtrace::commands

#endif  // MEMTRACE_TOOLS_MEMTRACE_COMMANDS_H_
