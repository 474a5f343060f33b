#include "tools/analysis/sample_trend.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "tools/analysis/trend.h"
#include "tools/common/numbers.h"
#include "tools/evidence/stamp.h"

namespace memtrace::tools {
namespace {

constexpr size_t kFewestRows = 6;
constexpr size_t kMostPoints = 120;  // all pairs of them are looked at
constexpr double kLeastRise = 0.02;  // of what there is: less is noise
constexpr uint64_t kLeastNoLimit = uint64_t{1} << 60;

struct Series {
  std::vector<const Sample*> samples;
  std::vector<TrendPoint> points;  // one for each
};

// A time without a zone still tells how long it is from row to row.
std::optional<double> ClockOf(const Sample& sample) {
  if (sample.time.unix_ns) return static_cast<double>(*sample.time.unix_ns) / 1e9;
  return ParseStamp(sample.time.text).clock_s;
}

// Rows of each container, process or cgroup since it was started last.
std::vector<Series> SeriesOf(const Evidence& evidence) {
  std::map<std::tuple<uint32_t, std::string, std::string>, Series> all;
  for (const Sample& sample : evidence.samples) {
    const std::optional<double> clock = ClockOf(sample);
    if (!clock || !sample.memory_bytes) continue;
    Series& series = all[{sample.place.file, sample.id, sample.name}];
    const bool backwards = !series.points.empty() && *clock <= series.points.back().time_s;
    const bool restarted = !series.points.empty() && *sample.memory_bytes < series.points.back().live_bytes / 2;
    if (backwards || restarted) series = {};
    series.samples.push_back(&sample);
    series.points.push_back({*clock, *sample.memory_bytes});
  }
  std::vector<Series> list;
  for (auto& [key, series] : all) list.push_back(std::move(series));
  return list;
}

std::vector<TrendPoint> Thinned(std::span<const TrendPoint> points) {
  std::vector<TrendPoint> some;
  const size_t count = std::min(points.size(), kMostPoints);
  for (size_t i = 0; i < count; ++i) some.push_back(points[i * (points.size() - 1) / (count - 1)]);
  return some;
}

double MedianSlope(const std::vector<TrendPoint>& points) {
  std::vector<double> slopes;
  for (size_t i = 0; i < points.size(); ++i) {
    for (size_t j = i + 1; j < points.size(); ++j) {
      const double rise = static_cast<double>(points[j].live_bytes) - static_cast<double>(points[i].live_bytes);
      slopes.push_back(rise / (points[j].time_s - points[i].time_s));
    }
  }
  const auto middle = slopes.begin() + static_cast<ptrdiff_t>(slopes.size() / 2);
  std::nth_element(slopes.begin(), middle, slopes.end());
  return *middle;
}

Number LimitOf(const Sample& sample, const Number& other) {
  const auto known = [](const Number& limit) { return limit && *limit > 0 && *limit < kLeastNoLimit; };
  if (known(sample.limit_bytes)) return sample.limit_bytes;
  if (sample.memory_percent.value_or(0) > 0)
    return RoundToUint(static_cast<double>(*sample.memory_bytes) * 100 / *sample.memory_percent);
  return known(other) ? other : std::nullopt;
}

std::optional<SampleGrowth> GrowthOf(const Series& series, const Number& limit) {
  if (series.points.size() < kFewestRows) return std::nullopt;
  const std::span<const TrendPoint> all = series.points;
  const std::vector<TrendPoint> later = Thinned(all.subspan(all.size() / 2));
  if (JudgeTrend(Thinned(all)) != TrendWord::kRising || JudgeTrend(later) != TrendWord::kRising) return std::nullopt;
  const double now = static_cast<double>(all.back().live_bytes);
  if (now - static_cast<double>(all.front().live_bytes) < kLeastRise * now) return std::nullopt;
  SampleGrowth growth;
  growth.first = series.samples.front();
  growth.last = series.samples.back();
  growth.bytes_per_s = MedianSlope(later);
  growth.limit_bytes = LimitOf(*growth.last, limit);
  if (growth.bytes_per_s <= 0) return std::nullopt;
  if (growth.limit_bytes)
    growth.time_to_limit_s =
        static_cast<double>(Excess(*growth.limit_bytes, all.back().live_bytes)) / growth.bytes_per_s;
  return growth;
}

}  // namespace

std::optional<SampleGrowth> GrowthOf(const Evidence& evidence, const Number& limit) {
  std::optional<SampleGrowth> soonest;
  for (const Series& series : SeriesOf(evidence)) {
    std::optional<SampleGrowth> growth = GrowthOf(series, limit);
    if (!growth) continue;
    constexpr double kNever = 1e300;
    if (!soonest || growth->time_to_limit_s.value_or(kNever) < soonest->time_to_limit_s.value_or(kNever))
      soonest = growth;
  }
  return soonest;
}

}  // namespace memtrace::tools
