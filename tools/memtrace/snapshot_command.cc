#include <cstdio>
#include <memory>

#include "injector/take_snapshot.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {

void AddSnapshot(CLI::App* app, Action* action) {
  CLI::App* snapshot = app->add_subcommand(
      "snapshot", "Take a snapshot of a recorded process from outside, without a signal, and print its path.");
  auto order = std::make_shared<injector::SnapshotOrder>();
  snapshot->add_option("TARGET", order->pid, "process id")->required()->check(CLI::PositiveNumber);
  snapshot->add_option("-o,--output", order->directory, "directory for the snapshot (default: beside the recording)")
      ->check(CLI::ExistingDirectory)
      ->option_text("DIR");
  snapshot->callback([order, action] {
    *action = [order] {
      const injector::SnapshotOutcome outcome = injector::TakeSnapshotOf(*order);
      if (!outcome.taken) {
        Say(outcome.message);
        return 1;
      }
      printf("%s\n", outcome.path.c_str());
      return 0;
    };
  });
}

}  // namespace memtrace::commands
