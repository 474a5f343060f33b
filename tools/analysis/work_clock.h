// The work clock (bytes allocated by the process so far) against the wall clock.
#ifndef MEMTRACE_TOOLS_ANALYSIS_WORK_CLOCK_H_
#define MEMTRACE_TOOLS_ANALYSIS_WORK_CLOCK_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "tools/reader/profile.h"

namespace memtrace::tools {

class WorkClock {
 public:
  // From the time line, the start of the recording and `end_ns`, when the work clock stood at
  // profile.work_bytes.
  WorkClock(const Profile& profile, uint64_t end_ns);

  // When the clock stood at `work_bytes`, by linear interpolation; seconds before the end.
  double SecondsAgo(uint64_t work_bytes) const;
  // Work per second since the clock stood at `since_work_bytes`; nothing if no time went by.
  std::optional<double> BytesPerSecond(uint64_t since_work_bytes) const;

 private:
  struct Point {
    uint64_t work_bytes;
    uint64_t time_ns;
  };
  std::vector<Point> points_;  // both rise; at least one
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_WORK_CLOCK_H_
