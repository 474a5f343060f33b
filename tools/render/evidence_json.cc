#include "tools/render/evidence_json.h"

#include "tools/analysis/settings.h"
#include "tools/common/quantity.h"
#include "tools/render/json_members.h"

namespace memtrace::tools {
namespace {

Json TimeJson(const Moment& time) {
  if (time.unix_ns && *time.unix_ns >= 0) return FormatUtc(static_cast<uint64_t>(*time.unix_ns));
  return SecondsJson(time.uptime_s);
}

Json LimitJson(const Number& limit) { return limit && *limit == kNoLimit ? Json(nullptr) : OrNull(limit); }

Json ScopeJson(OomScope scope) {
  return scope == OomScope::kUnknown ? Json(nullptr) : Json(scope == OomScope::kMemcg ? "memcg" : "global");
}

Json NamedJson(const NamedNumbers& numbers) {
  Json object = Json::object();
  for (const auto& [name, value] : numbers.all) object[name] = value == kNoLimit ? Json(nullptr) : Json(value);
  return object;
}

void AddPlace(const Evidence& evidence, Place place, Json* object) {
  (*object)["file"] = place.file < evidence.files.size() ? Json(evidence.files[place.file].name) : Json(nullptr);
  (*object)["line"] = place.line > 0 ? Json(place.line) : Json(nullptr);
}

void AddUsage(const char* name, const UsageLine& usage, Json* object) {
  (*object)[std::string(name) + "_usage_kb"] = OrNull(usage.usage_kb);
  (*object)[std::string(name) + "_limit_kb"] = OrNull(usage.limit_kb);
}

// What the kernel printed once for all whom it killed then.
void AddReport(const OomReport& report, Json* object) {
  (*object)["constraint"] = OrNull(report.constraint);
  (*object)["cpuset"] = OrNull(report.cpuset);
  (*object)["failcnt"] = OrNull(report.memory.failcnt);
  AddUsage("memsw", report.memsw, object);
  AddUsage("swap", report.swap, object);
  AddUsage("kmem", report.kmem, object);
  (*object)["invoker"] = OrNull(report.invoker);
  (*object)["invoker_pid"] = OrNull(report.invoker_pid);
  (*object)["kernel"] = OrNull(report.kernel);
  (*object)["gfp_mask"] = OrNull(report.gfp_mask);
  (*object)["order"] = OrNull(report.order);
}

Json KillJson(const Evidence& evidence, const OomKill& kill) {
  Json object = {{"time", TimeJson(kill.time)},
                 {"pid", kill.pid},
                 {"comm", OrNull(kill.comm)},
                 {"scope", ScopeJson(kill.scope)},
                 {"total_vm_kb", OrNull(kill.total_vm_kb)},
                 {"anon_rss_kb", OrNull(kill.anon_rss_kb)},
                 {"file_rss_kb", OrNull(kill.file_rss_kb)},
                 {"shmem_rss_kb", OrNull(kill.shmem_rss_kb)},
                 {"pgtables_kb", OrNull(kill.pgtables_kb)},
                 {"uid", OrNull(kill.uid)},
                 {"oom_score_adj", OrNull(kill.oom_score_adj)},
                 {"usage_kb", OrNull(kill.usage_kb)},
                 {"limit_kb", OrNull(kill.limit_kb)},
                 {"oom_memcg", OrNull(kill.oom_memcg)},
                 {"task_memcg", OrNull(kill.task_memcg)},
                 {"container_id", OrNull(kill.container_id)},
                 {"is_target", kill.is_target},
                 {"chosen_pid", OrNull(kill.chosen_pid)},
                 {"score", OrNull(kill.score)},
                 {"times_logged", kill.times_logged},
                 {"time_text", OrNull(kill.time.text)},
                 {"uptime_s", SecondsJson(kill.time.uptime_s)}};
  Json lines = Json::array();
  if ((kill.lines & kLineSummary) != 0) lines.push_back("oom-kill summary");
  if ((kill.lines & kLineChosen) != 0) lines.push_back("Kill process");
  if ((kill.lines & kLineKilled) != 0) lines.push_back("Killed process");
  object["evidence"] = std::move(lines);
  const bool has_report = kill.report && *kill.report < evidence.reports.size();
  AddReport(has_report ? evidence.reports[*kill.report] : OomReport(), &object);
  AddPlace(evidence, kill.place, &object);
  return object;
}

Json StatsJson(const Evidence& evidence, const MemcgStats& stats) {
  Json object = {
      {"path", OrNull(stats.path)}, {"unit", stats.in_kb ? "kB" : "bytes"}, {"values", NamedJson(stats.values)}};
  AddPlace(evidence, stats.place, &object);
  return object;
}

Json TaskJson(const TaskRow& row) {
  return {{"pid", row.pid},
          {"uid", row.uid},
          {"tgid", row.tgid},
          {"total_vm_pages", row.total_vm_pages},
          {"rss_pages", row.rss_pages},
          {"rss_anon", OrNull(row.rss_anon_pages)},
          {"rss_file", OrNull(row.rss_file_pages)},
          {"rss_shmem", OrNull(row.rss_shmem_pages)},
          {"pgtables_bytes", OrNull(row.pgtables_bytes)},
          {"nr_ptes", OrNull(row.nr_ptes)},
          {"swapents", OrNull(row.swapents)},
          {"oom_score_adj", OrNull(row.oom_score_adj)},
          {"name", row.name}};
}

Json LimitsJson(const Limits& limits, const std::string& origin) {
  return {{"meaning", MeaningOf(limits, origin)},
          {"memory_bytes", LimitJson(limits.memory_bytes)},
          {"memory_swap_bytes", LimitJson(limits.memory_swap_bytes)},
          {"reservation_bytes", LimitJson(limits.reservation_bytes)},
          {"pids", LimitJson(limits.pids)},
          {"oom_kill_disable", OrNull(limits.oom_kill_disable)}};
}

Json ContainerJson(const Evidence& evidence, const ContainerState& state) {
  Json object = {{"runtime", OrNull(state.runtime)},
                 {"id", OrNull(state.id)},
                 {"name", OrNull(state.name)},
                 {"image", OrNull(state.image)},
                 {"pod", OrNull(state.pod)},
                 {"namespace", OrNull(state.name_space)},
                 {"status", OrNull(state.status)},
                 {"running", OrNull(state.running)},
                 {"oom_killed", OrNull(state.oom_killed)},
                 {"exit_code", OrNull(state.exit_code)},
                 {"signal", OrNull(state.signal)},
                 {"reason", OrNull(state.reason)},
                 {"error", OrNull(state.error)},
                 {"pid", OrNull(state.pid)},
                 {"started_at", TimeJson(state.started)},
                 {"finished_at", TimeJson(state.finished)},
                 {"restart_count", OrNull(state.restart_count)},
                 {"previous", state.previous},
                 {"limits", LimitsJson(state.limits, state.runtime)}};
  AddPlace(evidence, state.place, &object);
  return object;
}

Json EventJson(const Evidence& evidence, const RuntimeEvent& event) {
  Json object = {{"time", TimeJson(event.time)},
                 {"type", event.type},
                 {"action", event.action},
                 {"id", OrNull(event.id)},
                 {"name", OrNull(event.name)},
                 {"image", OrNull(event.image)},
                 {"exit_code", OrNull(event.exit_code)},
                 {"signal", OrNull(event.signal)},
                 {"message", OrNull(event.message)}};
  AddPlace(evidence, event.place, &object);
  return object;
}

Json SampleJson(const Sample& sample) {
  return {{"time", TimeJson(sample.time)},
          {"id", OrNull(sample.id)},
          {"name", OrNull(sample.name)},
          {"usage_bytes", OrNull(sample.memory_bytes)},
          {"limit_bytes", OrNull(sample.limit_bytes)},
          {"mem_pct", OrNull(sample.memory_percent)},
          {"cpu_pct", OrNull(sample.cpu_percent)},
          {"pids", OrNull(sample.pids)}};
}

Json PressureJson(const std::optional<Pressure>& pressure) {
  if (!pressure) return nullptr;
  return {{"avg10", OrNull(pressure->avg10)},
          {"avg60", OrNull(pressure->avg60)},
          {"avg300", OrNull(pressure->avg300)},
          {"total_us", OrNull(pressure->total_us)}};
}

Json CgroupFilesJson(const Evidence& evidence, const CgroupFiles& files) {
  Json reads = Json::array();
  for (const auto& [name, value] : files.reads.all) reads.push_back({name, LimitJson(value)});
  Json object = {
      {"path", OrNull(files.path)},
      {"container_id", OrNull(ContainerIdOf(files.path))},
      {"version", OrNull(files.version)},
      {"reads", std::move(reads)},
      {"stat", NamedJson(files.stat)},
      {"events", NamedJson(files.events)},
      {"events_local", NamedJson(files.events_local)},
      {"oom_kill_disable", OrNull(files.oom_kill_disable)},
      {"under_oom", OrNull(files.under_oom)},
      {"oom_kill", OrNull(files.OomKills())},
      {"pressure", {{"some", PressureJson(files.pressure_some)}, {"full", PressureJson(files.pressure_full)}}}};
  AddPlace(evidence, files.place, &object);
  return object;
}

constexpr const char* kNoticeNames[] = {"unit-oom",      "user-space-killer", "eviction",   "eviction-reason",
                                        "fork-rejected", "suppressed",        "no-killable"};

Json NoticeJson(const Evidence& evidence, const Notice& notice) {
  Json object = {{"time", TimeJson(notice.time)},
                 {"kind", kNoticeNames[static_cast<size_t>(notice.kind)]},
                 {"subject", OrNull(notice.subject)},
                 {"pid", OrNull(notice.pid)}};
  AddPlace(evidence, notice.place, &object);
  return object;
}

Json DeclaredJson(const Evidence& evidence, const DeclaredLimits& declared) {
  Json object = {{"origin", declared.origin},
                 {"name", OrNull(declared.name)},
                 {"image", OrNull(declared.image)},
                 {"limits", LimitsJson(declared.limits, declared.origin)}};
  AddPlace(evidence, declared.place, &object);
  return object;
}

template <typename Item, typename ToJson>
Json ArrayOf(const std::vector<Item>& items, const ToJson& to_json) {
  Json array = Json::array();
  for (const Item& item : items) array.push_back(to_json(item));
  return array;
}

}  // namespace

Json KernelOomJson(const Evidence& evidence) {
  Json without_kill = Json::array();
  Json stats = Json::array();
  Json tasks = Json::array();
  Json groups = Json::array();
  for (const OomReport& report : evidence.reports) {
    if (report.kills.empty()) {
      Json object = {{"time", TimeJson(report.time)},
                     {"scope", ScopeJson(report.scope)},
                     {"oom_memcg", OrNull(report.oom_memcg)},
                     {"usage_kb", OrNull(report.memory.usage_kb)},
                     {"limit_kb", OrNull(report.memory.limit_kb)}};
      AddReport(report, &object);
      AddPlace(evidence, report.place, &object);
      without_kill.push_back(std::move(object));
    }
    for (const MemcgStats& of_group : report.stats) stats.push_back(StatsJson(evidence, of_group));
    for (const TaskRow& row : report.tasks) tasks.push_back(TaskJson(row));
    if (!report.group.empty()) groups.push_back(report.group);
  }
  return {{"kills", ArrayOf(evidence.kills, [&](const OomKill& kill) { return KillJson(evidence, kill); })},
          {"reports_without_kill", std::move(without_kill)},
          {"memcg_stats", std::move(stats)},
          {"tasks", std::move(tasks)},
          {"oom_group", std::move(groups)},
          {"reaped_pids", evidence.reaped_pids}};
}

Json EvidenceJson(const Evidence& evidence) {
  return {{"files", ArrayOf(evidence.files,
                            [](const EvidenceFile& file) {
                              return Json{{"name", file.name}, {"what", file.what}, {"losses", file.losses}};
                            })},
          {"containers", ArrayOf(evidence.containers, [&](const auto& item) { return ContainerJson(evidence, item); })},
          {"events", ArrayOf(evidence.events, [&](const auto& item) { return EventJson(evidence, item); })},
          {"samples", ArrayOf(evidence.samples, SampleJson)},
          {"cgroups", ArrayOf(evidence.cgroups, [&](const auto& item) { return CgroupFilesJson(evidence, item); })},
          {"declared", ArrayOf(evidence.declared, [&](const auto& item) { return DeclaredJson(evidence, item); })},
          {"notices", ArrayOf(evidence.notices, [&](const auto& item) { return NoticeJson(evidence, item); })}};
}

}  // namespace memtrace::tools
