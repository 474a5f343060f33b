#include "tools/render/folded.h"

#include <algorithm>
#include <map>
#include <string>

#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

// Semicolons separate frames, a newline ends the stack.
std::string Escaped(std::string name) {
  std::replace(name.begin(), name.end(), ';', ':');
  std::replace(name.begin(), name.end(), '\n', ' ');
  return name;
}

}  // namespace

std::optional<Metric> ParseMetric(std::string_view name) {
  if (name == "live") return Metric::kLive;
  if (name == "allocated") return Metric::kAllocated;
  if (name == "peak") return Metric::kPeak;
  if (name == "temporary") return Metric::kTemporary;
  return std::nullopt;
}

uint64_t WeightOf(const Site& site, Metric metric) {
  switch (metric) {
    case Metric::kLive:
      return site.live_bytes;
    case Metric::kAllocated:
      return site.allocated_bytes;
    case Metric::kPeak:
      return site.peak_bytes;
    case Metric::kTemporary:
      return site.temporary_allocations;
  }
  return 0;
}

void WriteFolded(const Report& report, Metric metric, std::ostream* out) {
  std::map<std::string, uint64_t> lines;
  for (const Site& site : report.table.sites) {
    const uint64_t weight = WeightOf(site, metric);
    if (weight == 0) continue;
    const std::vector<uint32_t> stack = report.frames->Stack(site.node);
    std::string line;
    for (auto index = stack.rbegin(); index != stack.rend(); ++index) {
      if (!line.empty()) line += ';';
      line += Escaped(FrameName(report.frames->frame(*index)));
    }
    uint64_t& sum = lines[line.empty() ? "(unknown)" : line];
    sum = SaturatingAdd(sum, weight);
  }
  for (const auto& [line, weight] : lines) *out << line << ' ' << weight << '\n';
}

}  // namespace memtrace::tools
