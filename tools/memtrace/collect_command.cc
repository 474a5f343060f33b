#include <climits>
#include <cstdio>
#include <memory>

#include "injector/collect/collect.h"
#include "injector/container_root.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {

void AddCollect(CLI::App* app, Action* action) {
  CLI::App* collect = app->add_subcommand(
      "collect", "Gather all that a post-mortem needs from a running or dead container or process.");
  collect->footer(
      "Recordings and snapshots, the binaries that they name (by build-id) and their debug files, docker's or "
      "podman's\n"
      "inspect and events, the kernel log and the files of the cgroup. `memtrace-report DIR` reads it on any machine.\n"
      "Exit status: 0 gathered, what is missing is said; 1 nothing could be gathered; 2 usage.");
  auto order = std::make_shared<injector::CollectOrder>();
  collect->add_option("TARGET", order->target, "process id, or name or id of a docker or podman container")
      ->required()
      ->check(
          [](const std::string& text) { return text.empty() || text[0] == '-' ? "give a process or container" : ""; });
  collect->add_option("-o,--output", order->directory, "directory to make")->required()->option_text("DIR");
  collect
      ->add_option("--recordings", order->recordings, "where the target keeps its recordings (default: as it was told)")
      ->option_text("DIR");
  collect->callback([order, action] {
    *action = [order] {
      const injector::CollectOutcome outcome = injector::Collect(*order);
      if (!outcome.done) {
        Say(outcome.message);
        return 1;
      }
      for (const std::string& line : outcome.lines) printf("%s\n", line.c_str());
      printf("Next: memtrace-report %s\n", injector::Printable(order->directory, PATH_MAX).c_str());
      return 0;
    };
  });
}

}  // namespace memtrace::commands
