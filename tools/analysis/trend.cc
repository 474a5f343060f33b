#include "tools/analysis/trend.h"

#include <algorithm>

#include "tools/common/numbers.h"

namespace memtrace::tools {

void SiteTrend::Append(const Profile& profile, const SiteTable& table) {
  State& state = states_.emplace_back(State{static_cast<double>(profile.header.end_ns) / 1e9, profile.work_bytes, {}});
  for (const Site& site : table.sites) state.live_bytes.emplace_back(site.id, site.live_bytes);
  std::sort(state.live_bytes.begin(), state.live_bytes.end());
}

std::vector<TrendPoint> SiteTrend::Of(std::span<const uint64_t> site_ids) const {
  std::vector<TrendPoint> points;
  for (const State& state : states_) {
    TrendPoint& point = points.emplace_back(TrendPoint{state.time_s, 0});
    for (const uint64_t id : site_ids) {
      const auto found = std::lower_bound(state.live_bytes.begin(), state.live_bytes.end(), std::pair{id, uint64_t{0}});
      if (found != state.live_bytes.end() && found->first == id)
        point.live_bytes = SaturatingAdd(point.live_bytes, found->second);
    }
  }
  return points;
}

TrendWord JudgeTrend(std::span<const TrendPoint> points) {
  if (points.size() < 3) return TrendWord::kNone;
  if (points.back().live_bytes < points.front().live_bytes) return TrendWord::kFalling;
  size_t rising = 0;
  size_t pairs = 0;
  bool every_step = true;
  std::vector<double> slopes;
  for (size_t i = 0; i < points.size(); ++i) {
    for (size_t j = i + 1; j < points.size(); ++j, ++pairs) {
      const double rise = static_cast<double>(points[j].live_bytes) - static_cast<double>(points[i].live_bytes);
      rising += rise > 0 ? 1 : 0;
      if (j == i + 1) every_step &= rise > 0;
      slopes.push_back(rise / std::max(points[j].time_s - points[i].time_s, 1e-9));
    }
  }
  if (points.size() == 3) return every_step ? TrendWord::kRising : TrendWord::kNone;
  std::nth_element(slopes.begin(), slopes.begin() + static_cast<ptrdiff_t>(slopes.size() / 2), slopes.end());
  const bool agreed = slopes[slopes.size() / 2] > 0 && rising * 4 >= pairs * 3;
  return agreed ? TrendWord::kRising : TrendWord::kNone;
}

}  // namespace memtrace::tools
