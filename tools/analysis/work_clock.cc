#include "tools/analysis/work_clock.h"

#include <algorithm>

#include "tools/common/numbers.h"

namespace memtrace::tools {

WorkClock::WorkClock(const Profile& profile, uint64_t end_ns) {
  points_.push_back({0, std::min(profile.header.start_ns, end_ns)});
  for (const format::TimelinePoint& point : profile.timeline) {
    // The wall clock may be set back, and a damaged point may say anything: only what rises counts.
    const bool rises = point.time_ns >= points_.back().time_ns && point.work_bytes >= points_.back().work_bytes;
    if (rises && point.time_ns <= end_ns && point.work_bytes <= profile.work_bytes) {
      points_.push_back({point.work_bytes, point.time_ns});
    }
  }
  points_.push_back({profile.work_bytes, std::max(end_ns, points_.back().time_ns)});
}

double WorkClock::SecondsAgo(uint64_t work_bytes) const {
  const Point& end = points_.back();
  const auto after = std::upper_bound(points_.begin(), points_.end(), work_bytes,
                                      [](uint64_t work, const Point& point) { return work < point.work_bytes; });
  if (after == points_.end()) return 0;
  const Point& before = *(after - 1);
  const double part =
      static_cast<double>(work_bytes - before.work_bytes) / static_cast<double>(after->work_bytes - before.work_bytes);
  const double time = static_cast<double>(before.time_ns - points_[0].time_ns) +
                      part * static_cast<double>(after->time_ns - before.time_ns);
  return (static_cast<double>(end.time_ns - points_[0].time_ns) - time) / 1e9;
}

std::optional<double> WorkClock::BytesPerSecond(uint64_t since_work_bytes) const {
  const double seconds = SecondsAgo(since_work_bytes);
  if (!(seconds > 0)) return std::nullopt;
  return static_cast<double>(Excess(points_.back().work_bytes, since_work_bytes)) / seconds;
}

}  // namespace memtrace::tools
