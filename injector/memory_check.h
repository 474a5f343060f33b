// The health check: how full the memory cgroup of a process is.
#ifndef MEMTRACE_INJECTOR_MEMORY_CHECK_H_
#define MEMTRACE_INJECTOR_MEMORY_CHECK_H_

#include <string>

namespace memtrace::injector {

inline constexpr int kCheckBelow = 0;
inline constexpr int kCheckAbove = 1;  // or at the threshold
inline constexpr int kCheckUnknown = 2;

struct CheckRequest {
  double threshold_percent = 80;
  bool count_page_cache = false;  // the whole usage instead of the working set
  std::string pid;                // empty: this process
  std::string root;               // of a recorded system; empty: the live one
};

struct CheckResult {
  int status;
  std::string line;  // for people
};

CheckResult CheckMemory(const CheckRequest& request);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_MEMORY_CHECK_H_
