#include "tools/render/json_members.h"

#include <fmt/format.h>

#include "tools/common/numbers.h"
#include "tools/common/quantity.h"
#include "tools/render/evidence_json.h"
#include "tools/render/target.h"

namespace memtrace::tools {
namespace {

// Seconds to the microsecond: more would be noise.
double Rounded(double seconds) {
  return static_cast<double>(static_cast<int64_t>(seconds * 1e6 + (seconds < 0 ? -0.5 : 0.5))) / 1e6;
}

Json PidOfVictim(const Incident& incident) {
  return incident.kill != nullptr ? Json(incident.kill->pid) : Json(nullptr);
}

Json LostJson(const std::optional<LostBlocks>& lost) {
  return {{"lost_allocations", lost ? Json(lost->allocations) : Json()},
          {"lost_bytes", lost ? Json(lost->bytes) : Json()}};
}

Json ReachabilityJson(const Report& report) {
  const Profile& profile = *report.profile;
  const format::Header& header = profile.header;
  const auto seconds = [](uint64_t ns) { return ns > 0 ? Json(Rounded(static_cast<double>(ns) / 1e9)) : Json(); };
  Json json = {{"state", LookName(profile)},
               {"error", header.look_error != 0 ? Json(header.look_error) : Json()},
               {"pause_s", seconds(header.look_pause_ns)},
               {"search_s", seconds(header.look_ns)}};
  json.update(LostJson(SumLost(profile, report.table)));
  return json;
}

}  // namespace

std::string Dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json OrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json SecondsJson(const std::optional<double>& seconds) { return seconds ? Json(Rounded(*seconds)) : Json(nullptr); }

std::string SiteId(const Site& site) { return fmt::format("{:016x}", site.id); }

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

// Keeps the keys: whoever reads them need not look first.
void ForgetValues(Json* json) {
  for (Json& value : *json) {
    if (value.is_object()) {
      ForgetValues(&value);
    } else {
      value = nullptr;
    }
  }
}

Json TargetJson(const Report& report) {
  Target target = DescribeTarget(report);
  const Incident& incident = report.incident;
  if (target.container_id.empty() && incident.kill != nullptr) target.container_id = incident.kill->container_id;
  if (target.container_id.empty() && incident.state != nullptr) target.container_id = incident.state->id;
  return {{"exe", OrNull(target.exe)},
          {"command", target.command.empty() ? Json(nullptr) : Json(target.command)},
          {"pid", !report.recorded              ? PidOfVictim(report.incident)
                  : report.profile->has_history ? Json(report.profile->header.pid)
                                                : Json(nullptr)},
          {"start_time", report.started_ns != 0 ? Json(FormatUtc(report.started_ns)) : Json(nullptr)},
          {"uptime_s", report.started_ns != 0 ? Json(Rounded(target.uptime_s)) : Json(nullptr)},
          {"hostname", OrNull(target.hostname)},
          {"container_id", OrNull(target.container_id)},
          {"libc", OrNull(target.libc)}};
}

Json RecordingJson(const Report& report) {
  const format::Header& header = report.profile->header;
  const Totals& totals = report.profile->totals;
  Json json = {
      {"state", report.state},
      {"trigger", report.trigger},
      {"sampling", OrNull(SamplingName(header))},
      {"sample_bytes", CurrentRate(header).bytes},
      {"coarsest_sample_bytes", report.profile->CoarsestRate()},
      {"slow_path_s", static_cast<double>(header.slow_path_ns) / 1e9},
      {"attached_late", header.origin == static_cast<uint32_t>(format::Origin::kAttach)},
      {"heap_bytes_before", header.heap_bytes_before == format::kUnknown ? Json() : Json(header.heap_bytes_before)},
      {"inherited_bytes", header.inherited_bytes == format::kUnknown ? Json() : Json(header.inherited_bytes)},
      {"own_bytes",
       {{"file", header.front_bytes + uint64_t{header.chunk_count} * header.chunk_bytes},
        {"private", header.private_bytes > 0 ? Json(header.private_bytes) : Json()}}},
      {"dropped",
       {{"allocations", report.DropsAreCounted() ? Json(totals.dropped_allocations) : Json()},
        {"frees", report.DropsAreCounted() ? Json(totals.dropped_frees) : Json()},
        {"reason", OrNull(report.DropReason())}}},
      {"reachability", ReachabilityJson(report)}};
  if (!report.profile->has_history) {
    for (const char* key :
         {"slow_path_s", "attached_late", "heap_bytes_before", "inherited_bytes", "own_bytes", "dropped"}) {
      if (json[key].is_object()) {
        ForgetValues(&json[key]);
      } else {
        json[key] = nullptr;
      }
    }
  }
  if (!report.recorded) ForgetValues(&json);
  return json;
}

Json TotalsJson(const Report& report) {
  const Totals& totals = report.profile->totals;
  const auto known = [](bool is, uint64_t value) { return is ? Json(value) : Json(); };
  const bool sums = report.profile->has_sums;
  const bool history = report.profile->has_history;
  Json json = {{"allocations", known(sums, totals.allocations)},
               {"allocated_bytes", known(sums, totals.allocated_bytes)},
               {"frees", known(sums, totals.frees)},
               {"freed_bytes", known(sums, totals.freed_bytes)},
               {"live_allocations", totals.live_allocations},
               {"live_bytes", totals.live_bytes},
               {"peak_live_bytes", known(history, totals.peak_live_bytes)},
               {"peak_live_allocations", known(history, totals.peak_live_allocations)},
               {"temporary_allocations", known(history, totals.temporary_allocations)}};
  if (!report.recorded) ForgetValues(&json);
  return json;
}

Json MemoryJson(const Report& report) {
  const MemoryBridge& memory = report.memory;
  const std::optional<MemoryMoment>& moment = report.memory_moment;
  return {{"cgroup_bytes", OrNull(memory.cgroup_bytes)},
          {"limit_bytes", OrNull(report.cgroup.limit_bytes)},
          {"native_live_bytes", OrNull(memory.native_live_bytes)},
          {"allocator_overhead_bytes", OrNull(memory.allocator_overhead_bytes)},
          {"allocator_retained_bytes", OrNull(memory.retained_bytes)},
          {"allocator_fragmented_bytes", OrNull(memory.fragmented_bytes)},
          {"other_anon_bytes", OrNull(memory.other_anon_bytes)},
          {"stacks_bytes", OrNull(memory.stacks_bytes)},
          {"file_bytes", OrNull(memory.file_bytes)},
          {"shmem_bytes", OrNull(memory.shmem_bytes)},
          {"kernel_bytes", OrNull(memory.kernel_bytes)},
          {"sock_bytes", OrNull(memory.sock_bytes)},
          {"anon_bytes", OrNull(memory.anon_bytes)},
          {"headroom_bytes", OrNull(memory.headroom_bytes)},
          {"other_processes_bytes", OrNull(memory.other_processes_bytes)},
          {"snapshot_before_end_s", moment ? Json(Rounded(moment->before_end_s)) : Json(nullptr)}};
}

Json CgroupJson(const CgroupFacts& cgroup) {
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
          {"pressure_full_avg10", OrNull(cgroup.pressure_full_avg10)}};
}

Json TimelineJson(const Report& report) {
  Json timeline = Json::array();
  for (const TimelineEntry& entry : report.timeline) {
    timeline.push_back({{"t", Rounded(entry.t)},
                        {"usage_bytes", OrNull(entry.usage_bytes)},
                        {"live_bytes", OrNull(entry.live_bytes)}});
  }
  return timeline;
}

Json OomJson(const Report& report) {
  const ContainerState* state = report.incident.state;
  Json oom = {{"container_oom_killed", state != nullptr ? OrNull(state->oom_killed) : Json(nullptr)},
              {"exit_code", state != nullptr ? OrNull(state->exit_code) : Json(nullptr)}};
  oom.update(KernelOomJson(report.evidence != nullptr ? *report.evidence : Evidence()));
  return oom;
}

Json VerdictJson(const Verdict& verdict) {
  return {{"cause", verdict.cause},
          {"confidence", Name(verdict.confidence)},
          {"summary", verdict.summary},
          {"evidence", verdict.evidence},
          {"recommended_limit_bytes", OrNull(verdict.recommended_limit_bytes)},
          {"time_to_limit_s", SecondsJson(verdict.time_to_limit_s)},
          {"advice", verdict.advice}};
}

Json LossesJson(const Losses& losses) {
  Json list = Json::array();
  for (const Loss& loss : losses.items()) list.push_back({{"what", loss.what}, {"amount", loss.amount}});
  return list;
}

Json DifferenceJson(const SiteDifference& difference, bool follows_blocks) {
  const auto known = [follows_blocks](uint64_t value) { return follows_blocks ? Json(value) : Json(nullptr); };
  return {{"before_bytes", difference.before.bytes},
          {"before_allocations", difference.before.blocks},
          {"difference_bytes", difference.bytes()},
          {"difference_allocations", difference.blocks()},
          {"new_bytes", known(difference.fresh.bytes)},
          {"new_allocations", known(difference.fresh.blocks)},
          {"freed_bytes", known(difference.freed.bytes)},
          {"freed_allocations", known(difference.freed.blocks)},
          {"survived_bytes", known(difference.survived.bytes)},
          {"survived_allocations", known(difference.survived.blocks)}};
}

Json BaselineJson(const Report& report) {
  const Baseline& baseline = *report.baseline;
  const format::Header& header = baseline.profile->header;
  const uint64_t end_ns = header.end_ns != 0 ? header.end_ns : header.last_event_ns;
  Json json = {{"file", baseline.profile->file_name},
               {"pid", header.pid},
               {"time", end_ns != 0 ? Json(FormatUtc(end_ns)) : Json(nullptr)},
               {"same_process", baseline.follows_blocks},
               {"sites_gone", baseline.gone.size()}};
  json.update(DifferenceJson(baseline.total, baseline.follows_blocks));
  return json;
}

Json SuspectJson(const Report& report, size_t index) {
  const Suspect& suspect = report.suspects[index];
  Json related = Json::array();
  for (const Relation& relation : suspect.related)
    related.push_back({{"id", relation.id}, {"frames", relation.frames}});
  Json json = {{"id", suspect.id},
               {"rank", index + 1},
               {"site", SiteId(report.table.sites[suspect.site])},
               {"kind", Name(suspect.kind)},
               {"behaviour", Name(BehaviourOf(suspect.kind))},
               {"confidence", Name(suspect.confidence)},
               {"place", PlaceOf(suspect, report.table, report.frames.get())},
               {"accumulates_at", suspect.point},
               {"places", suspect.places},
               {"paths", suspect.paths},
               {"related", std::move(related)},
               {"live_bytes", suspect.live_bytes},
               {"growth_bytes_per_s",
                suspect.growth_bytes_per_s ? Json(RoundToUint(*suspect.growth_bytes_per_s)) : Json(nullptr)},
               {"survival", suspect.survival.never_dies},
               {"age_s", {{"p50", SecondsJson(suspect.age_p50_s)}, {"p90", SecondsJson(suspect.age_p90_s)}}},
               {"why", suspect.why}};
  json.update(LostJson(suspect.lost));
  return json;
}

}  // namespace memtrace::tools
