#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "injector/elf_probe.h"
#include "injector/launch.h"
#include "libmemtrace/config/options.h"
#include "tools/memtrace/commands.h"
#include "tools/memtrace/library.h"
#include "tools/memtrace/variables.h"

namespace memtrace::commands {
namespace {

using injector::Settings;

struct RunRequest {
  std::shared_ptr<VariableValues> variables = std::make_shared<VariableValues>();
  std::string library;
};

// Children may start elsewhere: a relative path must mean the same to them.
std::string Absolute(const std::string& variable, const std::string& value) {
  const bool is_path = variable == "MEMTRACE_DIR" || variable == "MEMTRACE_TERMINATION_LOG";
  return is_path ? std::filesystem::absolute(value).string() : value;
}

Settings BuildSettings(const RunRequest& request, const std::string& library) {
  const char* preload = getenv("LD_PRELOAD");
  Settings settings = {{"LD_PRELOAD", injector::PreloadList(library, preload != nullptr ? preload : "")},
                       {"MEMTRACE_RUN", std::to_string(getpid())}};
  const auto& values = request.variables->values;
  if (values.count("MEMTRACE_KEEP") == 0) settings.emplace_back("MEMTRACE_KEEP", kKeep);
  if (request.variables->quiet) settings.emplace_back("MEMTRACE_QUIET", "1");
  for (const auto& [variable, value] : values) settings.emplace_back(variable, Absolute(variable, value));
  return settings;
}

// Empty with a message if there is none that can be preloaded.
std::string Preloadable(const std::string& given) {
  const std::string library = UsableLibrary(given);
  if (library.find_first_of(": ") == std::string::npos) return library;
  Say("LD_PRELOAD takes no path with blanks or colons: " + library);
  return "";
}

int SayNotExecutable(const std::string& name, int error, const injector::Probe& probe) {
  std::string why = strerror(error);
  // The file is there, so it is its interpreter that is not.
  if (error == ENOENT && !probe.file.empty()) {
    why = "its interpreter is missing: " + (probe.loader.empty() ? probe.file : probe.loader);
  }
  Say(name + ": " + why);
  return error == ENOENT ? injector::kStatusNotFound : injector::kStatusCannotExecute;
}

int Run(const RunRequest& request, const std::vector<std::string>& command) {
  const std::string library = Preloadable(request.library);
  if (library.empty()) return injector::kStatusOwnFailure;
  const injector::FoundProgram found = injector::FindProgram(command[0], getenv("PATH"));
  if (found.path.empty()) return SayNotExecutable(command[0], found.error, {});

  const std::vector<std::string> environment = injector::WithSettings(environ, BuildSettings(request, library));
  config::Options options;
  std::vector<const char*> entries;
  entries.reserve(environment.size() + 1);
  for (const std::string& entry : environment) entries.push_back(entry.c_str());
  entries.push_back(nullptr);
  config::ReadOptions(entries.data(), &options, nullptr);

  injector::Probe probe = injector::ProbeProgram(found.path);
  if (probe.visibility == injector::Visibility::kNotElf) probe = injector::ProbeProgram("/bin/sh");
  const std::string blind = injector::Explain(probe);
  if (!blind.empty() && !options.quiet) Say(blind);
  return SayNotExecutable(found.path, injector::Execute(found.path, command, environment), probe);
}

class RunFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* /*app*/, std::string /*name*/) const override {
    return "Usage: memtrace run [options] -- PROGRAM [ARG...]\n";
  }
};

// With "--" the options end there. Without, they end at the first word that is none, and a "--" further on
// belongs to the program.
std::vector<std::string> Command(const std::vector<std::string>& words, const Tail& tail) {
  std::vector<std::string> command = words;
  if (!words.empty() && words[0][0] == '-') throw CLI::ExtrasError({words[0]});
  if (tail.has_value()) {
    if (!words.empty()) command.emplace_back("--");
    command.insert(command.end(), tail->begin(), tail->end());
  }
  if (command.empty()) throw CLI::RequiredError("PROGRAM");
  return command;
}

}  // namespace

void AddRun(CLI::App* app, const Tail* tail, Action* action) {
  CLI::App* run = app->add_subcommand("run", "Start PROGRAM with the library preloaded.");
  run->formatter(std::make_shared<RunFormatter>());
  run->footer(
      "Each option stands for the variable in brackets; values are the same. An existing LD_PRELOAD is kept.\n"
      "Exit status: that of PROGRAM; 125 memtrace failed, 126 PROGRAM cannot be executed, 127 it is not there.");
  run->prefix_command();
  auto request = std::make_shared<RunRequest>();
  AddVariableOptions(run, request->variables);
  AddLibraryOption(run, &request->library);
  run->callback([run, request, tail, action] {
    *action = [request, command = Command(run->remaining(), *tail)] { return Run(*request, command); };
  });
}

}  // namespace memtrace::commands
