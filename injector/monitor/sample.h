// One row of `memtrace monitor`: what the kernel's files say about a target at one moment.
#ifndef MEMTRACE_INJECTOR_MONITOR_SAMPLE_H_
#define MEMTRACE_INJECTOR_MONITOR_SAMPLE_H_

#include <array>
#include <cstdint>
#include <string>

#include "injector/monitor/target.h"

namespace memtrace::injector {

// Columns of numbers. Of the target's own cgroup, but for the limit and kRss.
enum Field : size_t {
  kUsage,
  kWorkingSet,  // usage less inactive page cache
  kLimit,       // that will be hit first: the target's own or that of a cgroup above
  kPeak,
  kAnon,
  kFile,  // page cache, without shmem
  kShmem,
  kKernel,
  kSock,
  kSwap,
  kRss,  // of the process
  kPids,
  kPidsLimit,
  kOomEvents,
  kOomKills,
  kSnapshots,  // of recordings in the target, since the monitor began
  kFieldCount,
};

struct FieldName {
  const char* column;  // of the CSV
  const char* metric;  // OpenMetrics
  bool counter;
  const char* help;
};
extern const std::array<FieldName, kFieldCount> kFieldNames;

struct MonitorSample {
  uint64_t time_ns = 0;                      // CLOCK_REALTIME
  std::array<uint64_t, kFieldCount> values;  // format::kUnknown: not readable
  double percent = -1;                       // of the limit, in the cgroup that has it; below 0: unknown
  double pressure_full_avg10 = -1;           // percent; below 0: unknown
  std::string event;                         // "oom_kill", "snapshot", "end: ...", several with "; "

  MonitorSample();
  bool Knows(Field field) const;
};

// All but kSnapshots and event. A target that has gone leaves everything unknown.
MonitorSample ReadSample(const MonitorTarget& target);

// "2026-11-22T13:15:00.250Z"
std::string TimeText(uint64_t unix_ns);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_MONITOR_SAMPLE_H_
