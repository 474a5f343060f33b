// `memtrace monitor`: follows the memory of a process, a cgroup or a container, and says why it ended.
#ifndef MEMTRACE_INJECTOR_MONITOR_MONITOR_H_
#define MEMTRACE_INJECTOR_MONITOR_MONITOR_H_

#include <cstdint>
#include <string>

namespace memtrace::injector {

struct MonitorRequest {
  std::string target;  // see FindTarget
  uint64_t interval_ns = 5000000000;
  uint64_t count = 0;   // rows; 0: until the target ends or a signal comes
  std::string csv;      // file; "" and "-": standard output
  std::string plot;     // file; "": none
  std::string metrics;  // file; "": none
};

struct MonitorOutcome {
  bool ok = true;
  std::string message;  // why it ended, or what could not be done
};

// Returns when the target has ended, after `count` rows, or on SIGINT, SIGTERM, SIGHUP: then all files are whole.
// An existing CSV of the same columns is continued.
MonitorOutcome Monitor(const MonitorRequest& request);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_MONITOR_MONITOR_H_
