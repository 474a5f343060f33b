// The small members of the machine-readable report, which the page of --html carries too.
#ifndef MEMTRACE_TOOLS_RENDER_JSON_MEMBERS_H_
#define MEMTRACE_TOOLS_RENDER_JSON_MEMBERS_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tools/analysis/report.h"

namespace memtrace::tools {

using Json = nlohmann::ordered_json;

// Names come from file systems and command lines: what is no UTF-8 is replaced, not fatal.
std::string Dump(const Json& value);

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json OrNull(const std::string& text);
// To the microsecond: more would be noise.
Json SecondsJson(const std::optional<double>& seconds);

std::string SiteId(const Site& site);
Json FrameJson(const Frame& frame);

// One member each, as the schema has it. Without a recording, what only it can tell is null.
Json TargetJson(const Report& report);
Json RecordingJson(const Report& report);
Json TotalsJson(const Report& report);
Json MemoryJson(const Report& report);
// Without "timeline".
Json CgroupJson(const CgroupFacts& cgroup);
Json TimelineJson(const Report& report);
Json OomJson(const Report& report);
Json VerdictJson(const Verdict& verdict);
Json LossesJson(const Losses& losses);
// What became of the baseline's live memory; requires report.baseline. "sites" is left out.
Json BaselineJson(const Report& report);
// `follows_blocks`: see Baseline.
Json DifferenceJson(const SiteDifference& difference, bool follows_blocks);
// A suspect without its stack.
Json SuspectJson(const Report& report, size_t index);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_JSON_MEMBERS_H_
