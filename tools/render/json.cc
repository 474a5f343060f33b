#include "tools/render/json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "tools/common/numbers.h"
#include "tools/common/quantity.h"
#include "tools/render/target.h"

namespace memtrace::tools {
namespace {

using Json = nlohmann::ordered_json;

// Names come from file systems and command lines: what is no UTF-8 is replaced, not fatal.
std::string Dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json OrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
// Seconds to the microsecond: more would be noise.
double Rounded(double seconds) {
  return static_cast<double>(static_cast<int64_t>(seconds * 1e6 + (seconds < 0 ? -0.5 : 0.5))) / 1e6;
}
Json Seconds(const std::optional<double>& value) { return value ? Json(Rounded(*value)) : Json(nullptr); }

Json FrameJson(const Frame& frame) {
  const Module* module = frame.module;
  return {{"function", OrNull(frame.source.function)},
          {"file", OrNull(frame.source.file)},
          {"line", frame.source.line > 0 ? Json(frame.source.line) : Json(nullptr)},
          {"module", module != nullptr ? OrNull(module->path) : Json(nullptr)},
          {"build_id", module != nullptr ? OrNull(module->build_id) : Json(nullptr)},
          {"offset", frame.offset},
          {"inlined", frame.source.inlined}};
}

// Stacks as JSON text. Frames repeat from stack to stack, so each is formatted once.
class StackWriter {
 public:
  explicit StackWriter(FrameTable* frames) : frames_(*frames) {}

  std::string Text(uint32_t node) {
    std::string text = "[";
    for (const uint32_t index : frames_.Stack(node)) {
      std::string& frame = texts_[index];
      if (frame.empty()) frame = Dump(FrameJson(frames_.frame(index)));
      if (text.size() > 1) text += ',';
      text += frame;
    }
    return text + "]";
  }

 private:
  FrameTable& frames_;
  std::unordered_map<uint32_t, std::string> texts_;
};

std::string SiteId(const Site& site) { return fmt::format("{:016x}", site.id); }

Json TargetJson(const Report& report) {
  const Target target = DescribeTarget(report);
  return {{"exe", OrNull(target.exe)},
          {"command", target.command.empty() ? Json(nullptr) : Json(target.command)},
          {"pid", report.profile->header.pid},
          {"start_time", report.started_ns != 0 ? Json(FormatUtc(report.started_ns)) : Json(nullptr)},
          {"uptime_s", report.started_ns != 0 ? Json(Rounded(target.uptime_s)) : Json(nullptr)},
          {"hostname", OrNull(target.hostname)},
          {"container_id", OrNull(target.container_id)},
          {"libc", OrNull(target.libc)}};
}

Json RecordingJson(const Report& report) {
  const format::Header& header = report.profile->header;
  const Totals& totals = report.profile->totals;
  return {{"state", report.state},
          {"trigger", report.trigger},
          {"sampling", OrNull(SamplingName(header))},
          {"sample_bytes", CurrentRate(header).bytes},
          {"attached_late", header.origin == static_cast<uint32_t>(format::Origin::kAttach)},
          {"dropped",
           {{"allocations", totals.dropped_allocations},
            {"frees", totals.dropped_frees},
            {"reason", OrNull(report.DropReason())}}}};
}

Json TotalsJson(const Totals& totals) {
  return {{"allocations", totals.allocations},
          {"allocated_bytes", totals.allocated_bytes},
          {"frees", totals.frees},
          {"freed_bytes", totals.freed_bytes},
          {"live_allocations", totals.live_allocations},
          {"live_bytes", totals.live_bytes},
          {"peak_live_bytes", totals.peak_live_bytes},
          {"peak_live_allocations", totals.peak_live_allocations},
          {"temporary_allocations", totals.temporary_allocations}};
}

Json MemoryJson(const Report& report) {
  const MemoryBridge& memory = report.memory;
  const std::optional<MemoryMoment>& moment = report.memory_moment;
  return {{"cgroup_bytes", OrNull(memory.cgroup_bytes)},
          {"native_live_bytes", OrNull(memory.native_live_bytes)},
          {"allocator_overhead_bytes", OrNull(memory.allocator_overhead_bytes)},
          {"other_anon_bytes", OrNull(memory.other_anon_bytes)},
          {"stacks_bytes", OrNull(memory.stacks_bytes)},
          {"file_bytes", OrNull(memory.file_bytes)},
          {"shmem_bytes", OrNull(memory.shmem_bytes)},
          {"kernel_bytes", OrNull(memory.kernel_bytes)},
          {"other_processes_bytes", OrNull(memory.other_processes_bytes)},
          {"snapshot_before_end_s", moment ? Json(Rounded(moment->before_end_s)) : Json(nullptr)}};
}

Json CgroupJson(const Report& report) {
  const CgroupFacts& cgroup = report.cgroup;
  Json timeline = Json::array();
  for (const TimelineEntry& entry : report.timeline) {
    timeline.push_back({{"t", Rounded(entry.t)},
                        {"usage_bytes", OrNull(entry.usage_bytes)},
                        {"live_bytes", OrNull(entry.live_bytes)}});
  }
  return {{"version", OrNull(cgroup.version)},
          {"path", OrNull(cgroup.path)},
          {"limit_bytes", OrNull(cgroup.limit_bytes)},
          {"usage_bytes", OrNull(cgroup.usage_bytes)},
          {"working_set_bytes", OrNull(cgroup.working_set_bytes)},
          {"peak_bytes", OrNull(cgroup.peak_bytes)},
          {"swap_bytes", OrNull(cgroup.swap_bytes)},
          {"oom_events", OrNull(cgroup.oom_events)},
          {"oom_kills", OrNull(cgroup.oom_kills)},
          {"pids", OrNull(cgroup.pids)},
          {"pids_limit", OrNull(cgroup.pids_limit)},
          {"pressure_full_avg10", OrNull(cgroup.pressure_full_avg10)},
          {"timeline", std::move(timeline)}};
}

Json VerdictJson(const Verdict& verdict) {
  return {{"cause", verdict.cause},
          {"confidence", Name(verdict.confidence)},
          {"summary", verdict.summary},
          {"evidence", verdict.evidence},
          {"recommended_limit_bytes", OrNull(verdict.recommended_limit_bytes)},
          {"time_to_limit_s", Seconds(verdict.time_to_limit_s)},
          {"advice", verdict.advice}};
}

Json LossesJson(const Losses& losses) {
  Json list = Json::array();
  for (const Loss& loss : losses.items()) list.push_back({{"what", loss.what}, {"amount", loss.amount}});
  return list;
}

// An object with a stack spliced in as its last member.
void WriteWithStack(const Json& object, const std::string& stack, std::ostream* out) {
  std::string text = Dump(object);
  text.pop_back();
  *out << text << ",\"stack\":" << stack << '}';
}

void WriteSites(const Report& report, StackWriter* stacks, std::ostream* out) {
  *out << "\"sites\":[";
  for (size_t i = 0; i < report.table.sites.size(); ++i) {
    const Site& site = report.table.sites[i];
    if (i > 0) *out << ",\n";
    WriteWithStack({{"id", SiteId(site)},
                    {"allocations", site.allocations},
                    {"allocated_bytes", site.allocated_bytes},
                    {"live_allocations", site.live_allocations},
                    {"live_bytes", site.live_bytes},
                    {"live_bytes_ci95", {site.live_bytes_ci95.low, site.live_bytes_ci95.high}},
                    {"peak_bytes", site.peak_bytes},
                    {"temporary_allocations", site.temporary_allocations}},
                   stacks->Text(site.node), out);
  }
  *out << "],\n";
}

void WriteSuspects(const Report& report, StackWriter* stacks, std::ostream* out) {
  *out << "\"suspects\":[";
  for (size_t i = 0; i < report.suspects.size(); ++i) {
    const Suspect& suspect = report.suspects[i];
    const Site& site = report.table.sites[suspect.site];
    if (i > 0) *out << ",\n";
    WriteWithStack({{"id", suspect.id},
                    {"rank", i + 1},
                    {"site", SiteId(site)},
                    {"kind", Name(suspect.kind)},
                    {"confidence", Name(suspect.confidence)},
                    {"live_bytes", suspect.live_bytes},
                    {"growth_bytes_per_s",
                     suspect.growth_bytes_per_s ? Json(RoundToUint(*suspect.growth_bytes_per_s)) : Json(nullptr)},
                    {"survival", suspect.survival.never_dies},
                    {"age_s", {{"p50", Seconds(suspect.age_p50_s)}, {"p90", Seconds(suspect.age_p90_s)}}},
                    {"why", suspect.why}},
                   stacks->Text(site.node), out);
  }
  *out << "],\n";
}

// All members of a report but "schema" and "others", without the braces.
void WriteMembers(const Report& report, std::ostream* out) {
  StackWriter stacks(report.frames.get());
  const auto member = [out](const char* key, const Json& value) {
    *out << '"' << key << "\":" << Dump(value) << ",\n";
  };
  member("target", TargetJson(report));
  member("recording", RecordingJson(report));
  member("totals", TotalsJson(report.profile->totals));
  WriteSites(report, &stacks, out);
  WriteSuspects(report, &stacks, out);
  member("memory", MemoryJson(report));
  member("cgroup", CgroupJson(report));
  member("oom", {{"container_oom_killed", nullptr}, {"exit_code", nullptr}, {"kills", Json::array()}});
  member("verdict", VerdictJson(report.verdict));
  member("blind_spots", report.blind_spots);
  *out << "\"losses\":" << Dump(LossesJson(report.profile->losses));
}

}  // namespace

void WriteJson(std::span<const Report> reports, std::span<const std::string> warnings, std::ostream* out) {
  *out << "{\"schema\":\"memtrace.report/1\",\n";
  WriteMembers(reports[0], out);
  *out << ",\n\"warnings\":" << Dump(Json(std::vector<std::string>(warnings.begin(), warnings.end())))
       << ",\n\"others\":[";
  for (size_t i = 1; i < reports.size(); ++i) {
    *out << (i > 1 ? ",\n{" : "{");
    WriteMembers(reports[i], out);
    *out << '}';
  }
  *out << "]}\n";
}

}  // namespace memtrace::tools
