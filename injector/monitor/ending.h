// Whether the target of `memtrace monitor` is still there, and why it is not.
#ifndef MEMTRACE_INJECTOR_MONITOR_ENDING_H_
#define MEMTRACE_INJECTOR_MONITOR_ENDING_H_

#include <cstdint>
#include <map>
#include <string>

#include "injector/monitor/sample.h"

namespace memtrace::injector {

// Notices the end of a target at once, so that what the kernel knows of it can still be read.
class EndingWatch {
 public:
  explicit EndingWatch(const MonitorTarget& target);
  ~EndingWatch();
  EndingWatch(const EndingWatch&) = delete;
  EndingWatch& operator=(const EndingWatch&) = delete;

  // A descriptor to poll: readable when something ended. -1: there is none, ask from time to time.
  int descriptor() const { return process_; }
  bool HasEnded();
  // After the end. `before` and `after` are the last rows with and without the target.
  std::string Why(const MonitorSample& before, const MonitorSample& after) const;

 private:
  void Follow(int pid);
  std::string KernelCounters(const MonitorSample& before, const MonitorSample& after) const;
  std::string ExitOfProcess() const;
  bool KernelLogNamesProcess() const;

  const MonitorTarget& target_;
  int process_ = -1;  // pidfd
  int pid_ = 0;
  bool was_populated_ = false;
  double begin_uptime_s_;
};

// Snapshots that the recorded processes of a target take.
class SnapshotWatch {
 public:
  ~SnapshotWatch();
  // Those taken since the first call, also by processes that have ended; kUnknown: no recording was seen.
  uint64_t Count(const MonitorTarget& target);

 private:
  struct Recording {
    int fd;
    uint64_t first;  // Header::snapshots_taken when it was seen first
    uint64_t last;
  };
  void Look(int pid);

  std::map<int, Recording> recordings_;  // by process; fd -1: not recorded
};

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_MONITOR_ENDING_H_
