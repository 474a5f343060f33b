#include <unistd.h>

#include <climits>
#include <cstdio>
#include <memory>

#include "injector/container_root.h"
#include "injector/monitor/target.h"
#include "injector/take_snapshot.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {
namespace {

int Snapshot(const std::string& name, injector::SnapshotOrder order) {
  const injector::MonitorTarget target = injector::FindTarget(name);
  // A process that is in no memory cgroup has recordings all the same.
  const bool is_process = target.kind == injector::TargetKind::kProcess;
  if (target.pid == 0 || (!target.message.empty() && !is_process)) {
    Say(target.message.empty() ? name + " is a cgroup: name a process or a container" : target.message);
    return 1;
  }
  order.pid = std::to_string(target.pid);
  const injector::SnapshotOutcome outcome = injector::TakeSnapshotOf(order);
  if (!outcome.taken) {
    Say(outcome.message);
    return 1;
  }
  // A container chose the name. Scripts want it as it is, a terminal must not obey it.
  const std::string shown = isatty(STDOUT_FILENO) == 1 ? injector::Printable(outcome.path, PATH_MAX) : outcome.path;
  printf("%s\n", shown.c_str());
  return 0;
}

}  // namespace

void AddSnapshot(CLI::App* app, Action* action) {
  CLI::App* snapshot = app->add_subcommand(
      "snapshot", "Take a snapshot of a recorded process from outside, without a signal, and print its path.");
  auto order = std::make_shared<injector::SnapshotOrder>();
  auto name = std::make_shared<std::string>();
  snapshot->add_option("TARGET", *name, "process id, or name or id of a docker or podman container: its first process")
      ->required()
      ->check(
          [](const std::string& text) { return text.empty() || text[0] == '-' ? "give a process or container" : ""; });
  snapshot->add_option("-o,--output", order->directory, "directory for the snapshot (default: beside the recording)")
      ->check(CLI::ExistingDirectory)
      ->option_text("DIR");
  snapshot->add_flag("--reachability", order->reachability,
                     "also find the blocks that no pointer leads to any more, in a copy of the process; waits until it "
                     "allocates");
  snapshot->callback([name, order, action] { *action = [name, order] { return Snapshot(*name, *order); }; });
}

}  // namespace memtrace::commands
