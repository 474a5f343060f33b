// What older snapshots of the same process say about a site: whether it grew, and whether what it had then is still
// there.
#ifndef MEMTRACE_TOOLS_ANALYSIS_TREND_H_
#define MEMTRACE_TOOLS_ANALYSIS_TREND_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tools/analysis/sites.h"

namespace memtrace::tools {

struct TrendPoint {
  double time_s = 0;
  uint64_t live_bytes = 0;
};

class SiteTrend {
 public:
  // Oldest first.
  void Append(const Profile& profile, const SiteTable& table);
  bool empty() const { return states_.empty(); }
  // The work clock at the oldest state.
  uint64_t first_work_bytes() const { return states_.front().work_bytes; }
  // Live bytes of these sites together in each older state, 0 where they had none.
  std::vector<TrendPoint> Of(std::span<const uint64_t> site_ids) const;

 private:
  struct State {
    double time_s;
    uint64_t work_bytes;
    std::vector<std::pair<uint64_t, uint64_t>> live_bytes;  // by site id
  };
  std::vector<State> states_;
};

enum class TrendWord { kNone, kRising, kFalling };

// Of a series that ends with the newest state. Three points rise when every step does; from four on, when the median
// slope of all pairs does (Theil 1950, Sen 1968) and three quarters of the pairs agree. It falls when the last point is
// below the first.
TrendWord JudgeTrend(std::span<const TrendPoint> points);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_TREND_H_
