// A simulated service: seven kinds of innocent sites, and leaks if wanted, feeding SiteHistory directly.
#ifndef MEMTRACE_TESTS_UNIT_TOOLS_ANALYSIS_SERVICE_H_
#define MEMTRACE_TESTS_UNIT_TOOLS_ANALYSIS_SERVICE_H_

#include <cstdint>
#include <vector>

#include "tools/analysis/survival.h"

namespace memtrace::tools {

enum class Leak { kNone, kSmallAndSlow, kFromHalfWay, kRareAndLarge, kTwoAtOnce };

// Sites 0 to 6: start-up table, cache with random replacement, sessions, request buffers, pool in bursts, warm-up
// cache, queue that follows the load. Sites 7 and 8: leaks.
inline constexpr size_t kInnocentSites = 7;
inline constexpr size_t kSites = 9;

struct ServiceRun {
  std::vector<SiteHistory> histories;  // kSites
  std::vector<double> leaked_bytes;    // the truth, kSites
  uint64_t work_bytes = 0;
  uint64_t live_bytes = 0;
};

// rate_bytes 1: every block is recorded.
ServiceRun RunService(Leak leak, uint64_t rate_bytes, uint64_t seed);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TESTS_UNIT_TOOLS_ANALYSIS_SERVICE_H_
