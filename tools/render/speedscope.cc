#include "tools/render/speedscope.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "tools/common/numbers.h"
#include "tools/render/json_members.h"
#include "tools/render/target.h"

namespace memtrace::tools {
namespace {

// Indices of frames from the outermost in; 0 stands for an unknown stack.
std::string SampleText(const std::vector<uint32_t>& stack) {
  if (stack.empty()) return "[0]";
  std::string text = "[";
  for (auto index = stack.rbegin(); index != stack.rend(); ++index)
    text += fmt::format("{}{}", index == stack.rbegin() ? "" : ",", *index + 1);
  return text + "]";
}

uint64_t Total(const Report& report, Metric metric) {
  uint64_t total = 0;
  for (const Site& site : report.table.sites) total = SaturatingAdd(total, WeightOf(site, metric));
  return total;
}

void WriteProfile(const Report& report, Metric metric, std::ostream* out) {
  const bool counts = metric == Metric::kTemporary;
  *out << fmt::format(R"({{"type":"sampled","name":"{} {}","unit":"{}","startValue":0,"endValue":{},"samples":[)",
                      Name(metric), counts ? "allocations" : "bytes", counts ? "none" : "bytes", Total(report, metric));
  std::string weights;
  for (const Site& site : report.table.sites) {
    const uint64_t weight = WeightOf(site, metric);
    if (weight == 0) continue;
    *out << (weights.empty() ? "" : ",\n") << SampleText(report.frames->Stack(site.node));
    weights += fmt::format("{}{}", weights.empty() ? "" : ",", weight);
  }
  *out << "],\"weights\":[" << weights << "]}";
}

void WriteFrames(const FrameTable& frames, std::ostream* out) {
  *out << Dump({{"name", "(unknown stack)"}});
  for (uint32_t i = 0; i < frames.size(); ++i) {
    const Frame& frame = frames.frame(i);
    Json object = {{"name", FrameName(frame)}};
    if (!frame.source.file.empty()) object["file"] = frame.source.file;
    if (frame.source.line > 0) object["line"] = frame.source.line;
    *out << ",\n" << Dump(object);
  }
}

}  // namespace

void WriteSpeedscope(const Report& report, Metric metric, std::ostream* out) {
  ResolveStacks(report.table, report.frames.get());
  const std::string name = fmt::format("{} ({})", DescribeTarget(report).exe, report.profile->header.pid);
  *out << R"({"$schema":"https://www.speedscope.app/file-format-schema.json","exporter":"memtrace-report","name":)"
       << Dump(name) << ",\n\"profiles\":[";
  size_t written = 0;
  size_t active = 0;
  for (const MetricName& known : kMetricNames) {
    // The format wants at least one profile, so the chosen one is there even if nothing weighs.
    if (known.metric != metric && Total(report, known.metric) == 0) continue;
    if (known.metric == metric) active = written;
    if (written++ > 0) *out << ",\n";
    WriteProfile(report, known.metric, out);
  }
  // Frames become known as stacks are written, so they come last.
  *out << "],\n\"activeProfileIndex\":" << active << ",\"shared\":{\"frames\":[";
  WriteFrames(*report.frames, out);
  *out << "]}}\n";
}

}  // namespace memtrace::tools
