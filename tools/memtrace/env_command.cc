#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "injector/container_root.h"
#include "libmemtrace/config/options.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {
namespace {

void Complain(rt::Text line) { Say(std::string(line.data, line.size)); }

}  // namespace

void AddEnv(CLI::App* app, Action* action) {
  CLI::App* env = app->add_subcommand("env", "Print the settings that a program started here would be recorded with.");
  env->footer("Values that cannot be read are named on standard error, and stand with their default.");
  env->callback([action] {
    *action = [] {
      config::Options options;
      config::ReadOptions(environ, &options, Complain);
      for (const config::Variable& variable : config::Variables()) {
        if (variable.help.empty()) continue;
        const std::string name(variable.name.data, variable.name.size);
        const char* value = getenv(name.c_str());
        config::Options scratch;
        const bool usable = value != nullptr && *value != '\0' && variable.parse(value, &scratch);
        const std::string fallback(variable.fallback.data, variable.fallback.size);
        printf("%s=%s%s\n", name.c_str(), usable ? injector::Printable(value, PATH_MAX).c_str() : fallback.c_str(),
               usable ? "" : "  # default");
      }
      return 0;
    };
  });
}

}  // namespace memtrace::commands
