#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>

#include "injector/container_root.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {
namespace {

// CLI11 must not see the arguments of the program that is to be run.
std::vector<std::string> SplitAtMark(int argc, char** argv, Tail* tail) {
  std::vector<std::string> head;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (tail->has_value()) {
      (*tail)->push_back(argument);
    } else if (argument == "--") {
      tail->emplace();
    } else {
      head.push_back(argument);
    }
  }
  return head;
}

// As far as the command line was understood: "memtrace inject compose".
std::string DeepestCommand(const CLI::App* app) {
  const std::vector<const CLI::App*> next = app->get_subcommands([](const CLI::App* sub) { return sub->parsed(); });
  return app->get_name() + (next.empty() ? "" : " " + DeepestCommand(next.front()));
}

// What was printed has arrived; says so if not.
bool Delivered() {
  std::cout.flush();
  if (std::cout && fflush(stdout) == 0 && ferror(stdout) == 0) return true;
  Say(std::string("cannot write to standard output: ") + strerror(errno));
  return false;
}

int Main(int argc, char** argv) {
  CLI::App app("Helper of the memtrace memory profiler, for the container and the host.", "memtrace");
  app.set_version_flag("--version", "memtrace " MEMTRACE_VERSION);
  app.failure_message(CLI::FailureMessage::simple);
  Tail tail;
  Action action;
  AddRun(&app, &tail, &action);
  AddAttach(&app, &action);
  AddDetach(&app, &action);
  AddCollect(&app, &action);
  AddCheck(&app, &action);
  AddDoctor(&app, &action);
  AddEnv(&app, &action);
  AddInject(&app, &tail, &action);
  AddInstall(&app, &action);
  AddLib(&app, &action);
  AddMonitor(&app, &action);
  AddSnapshot(&app, &action);
  try {
    std::vector<std::string> arguments = SplitAtMark(argc, argv, &tail);
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    app.parse(arguments);
    if (!action) throw CLI::RequiredError("SUBCOMMAND");
    const int status = action();
    return Delivered() || status != 0 ? status : 1;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      return Delivered() ? 0 : 1;
    }
    Say(error.what());
    fprintf(stderr, "Try `%s --help`.\n", DeepestCommand(&app).c_str());
    return kStatusUsage;
  }
}

}  // namespace

std::string NoWholeNumber(const std::string& text, const char* what) {
  const bool digits = text.find_first_not_of("0123456789") == std::string::npos && text.size() < 10;
  return digits && text.find_first_not_of('0') != std::string::npos ? "" : "`" + text + "` is no " + what;
}

void Say(const std::string& text) {
  constexpr size_t kMostCharacters = 8192;
  fprintf(stderr, "memtrace: %s\n", injector::Printable(text, kMostCharacters).c_str());
}

}  // namespace memtrace::commands

int main(int argc, char** argv) {
  try {
    return memtrace::commands::Main(argc, argv);
  } catch (const std::exception& error) {
    memtrace::commands::Say(error.what());
    return 125;
  }
}
