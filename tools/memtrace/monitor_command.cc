#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "injector/monitor/monitor.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {
namespace {

// "5s", "500ms", "2m", "1h", "0.5": seconds where there is no unit. False if it is none, or under a millisecond.
bool ParseInterval(const std::string& text, uint64_t* ns) {
  struct Unit {
    const char* name;
    double seconds;
  };
  constexpr Unit kUnits[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"min", 60}, {"h", 3600}};
  char* end = nullptr;
  const double value = strtod(text.c_str(), &end);
  if (end == text.c_str()) return false;
  for (const Unit& unit : kUnits) {
    if (unit.name != std::string(end)) continue;
    const double seconds = value * unit.seconds;
    if (!(seconds >= 0.001 && seconds <= 86400)) return false;
    *ns = static_cast<uint64_t>(seconds * 1e9);
    return true;
  }
  return false;
}

}  // namespace

void AddMonitor(CLI::App* app, Action* action) {
  CLI::App* monitor =
      app->add_subcommand("monitor", "Follow the memory of a process, a cgroup or a container, and say why it ended.");
  monitor->footer(
      "One row per interval: timestamp,memory_bytes,memory_percent,... The percentage is of the limit that will be "
      "hit\n"
      "first, in the cgroup that has it. Ends with the target, or on Ctrl-C.\n"
      "Exit status: 0, 1 there is no such target or a file cannot be written, 2 usage.");
  auto request = std::make_shared<injector::MonitorRequest>();
  monitor->add_option("TARGET", request->target,
                      "process id, cgroup path, container name or id (default: the own cgroup)");
  const auto interval = [request](const std::string& text) {
    if (!ParseInterval(text, &request->interval_ns))
      throw CLI::ValidationError("--interval", "`" + text + "` is no time between 1ms and 24h, such as 5s or 500ms");
  };
  monitor->add_option_function<std::string>("--interval", interval, "time between rows (default 5s)")
      ->option_text("TIME");
  monitor->add_option("--count", request->count, "end after so many rows")
      ->check([](const std::string& text) { return NoWholeNumber(text, "number of rows"); })
      ->option_text("N");
  monitor->add_option("--csv", request->csv, "write the rows there, or go on there (default: standard output)")
      ->option_text("FILE");
  monitor->add_option("--plot", request->plot, "draw them, at the end, as SVG")->option_text("FILE");
  monitor->add_option("--openmetrics", request->metrics, "keep the newest row there for a textfile collector")
      ->option_text("FILE");
  monitor->callback([request, action] {
    *action = [request] {
      const injector::MonitorOutcome outcome = injector::Monitor(*request);
      if (!outcome.message.empty() && (!outcome.ok || isatty(STDERR_FILENO) == 1)) Say(outcome.message);
      return outcome.ok ? 0 : 1;
    };
  });
}

}  // namespace memtrace::commands
