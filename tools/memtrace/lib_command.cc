#include <cstdio>

#include "tools/memtrace/commands.h"
#include "tools/memtrace/library.h"

namespace memtrace::commands {

void AddLib(CLI::App* app, Action* action) {
  CLI::App* lib = app->add_subcommand("lib", "Print the path of the library that belongs to this program.");
  lib->callback([action] {
    *action = [] {
      const std::string library = UsableLibrary();
      if (library.empty()) return 1;
      printf("%s\n", library.c_str());
      return 0;
    };
  });
}

}  // namespace memtrace::commands
