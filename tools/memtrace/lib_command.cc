#include <cstdio>

#include "injector/launch.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {

void AddLib(CLI::App* app, Action* action) {
  CLI::App* lib = app->add_subcommand("lib", "Print the path of the library that belongs to this program.");
  lib->callback([action] {
    *action = [] {
      const std::string library = injector::FindLibrary();
      if (library.empty()) {
        Say("there is no libmemtrace.so in ../lib/memtrace beside this program");
        return 1;
      }
      printf("%s\n", library.c_str());
      return 0;
    };
  });
}

}  // namespace memtrace::commands
