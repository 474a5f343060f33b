// JSON of docker and podman.
#include <utility>

#include "tools/evidence/container_text.h"
#include "tools/evidence/documents.h"
#include "tools/evidence/events_text.h"
#include "tools/evidence/stats_table.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

// 0 and below are docker's word for "none was set".
Number LimitAt(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const JsonValue& value = Member(object, path);
  if (!value.is_number_integer()) return std::nullopt;
  if (!value.is_number_unsigned() || value.get<uint64_t>() == 0) return kNoLimit;
  return value.get<uint64_t>();
}

void TakeLimits(const JsonValue& host_config, Limits* limits) {
  limits->memory_bytes = LimitAt(host_config, {"Memory"});
  if (NumberAt(host_config, {"MemorySwap"}) != 0U) limits->memory_swap_bytes = LimitAt(host_config, {"MemorySwap"});
  const Number reservation = NumberAt(host_config, {"MemoryReservation"});
  if (reservation && *reservation > 0) limits->reservation_bytes = reservation;
  limits->pids = LimitAt(host_config, {"PidsLimit"});
  limits->oom_kill_disable = BoolAt(host_config, {"OomKillDisable"});
}

bool IsState(const JsonValue& state) {
  return state.is_object() && (state.contains("OOMKilled") || state.contains("ExitCode"));
}

void TakeState(const JsonValue& state, ContainerState* container) {
  container->status = TextAt(state, {"Status"});
  container->running = BoolAt(state, {"Running"});
  container->oom_killed = BoolAt(state, {"OOMKilled"});
  container->exit_code = IntAt(state, {"ExitCode"});
  container->error = TextAt(state, {"Error"});
  const auto pid = IdAt(state, {"Pid"});
  if (pid && *pid > 0) container->pid = pid;
  container->started = MomentAt(state, {"StartedAt"});
  container->finished = MomentAt(state, {"FinishedAt"});
}

void Add(ContainerState state, const DocumentReader& to) {
  if (to.evidence->containers.size() < kMostContainers) to.evidence->containers.push_back(std::move(state));
}

// {"ID": "...", "State": "exited", "Status": "Exited (137) 2 hours ago"} of `docker ps --format json`
bool TakePs(const JsonValue& document, const DocumentReader& to) {
  const std::string status = TextAt(document, {"Status"});
  const auto code = Between(status, "Exited (", ")");
  if (!document.contains("Image") || !code) return false;
  ContainerState state;
  state.place = to.places->Find(TextAt(document, {"ID"}), "");
  state.runtime = "docker";
  state.id = TextAt(document, {"ID"});
  state.name = TextAt(document, {"Names"});
  state.image = TextAt(document, {"Image"});
  state.status = TextAt(document, {"State"});
  state.running = false;
  state.exit_code = WholeInt(*code);
  Add(std::move(state), to);
  return true;
}

}  // namespace

bool TakeDockerInspect(const JsonValue& document, const DocumentReader& to) {
  if (!document.is_object()) return false;
  ContainerState container;
  if (IsState(document)) {
    container.place = to.places->Find("", "OOMKilled");
    TakeState(document, &container);
    Add(std::move(container), to);
    return true;
  }
  const JsonValue& state = Member(document, {"State"});
  if (!IsState(state)) return TakePs(document, to);
  container.id = TextAt(document, {"Id"});
  container.place = to.places->Find(container.id, "OOMKilled");
  container.name = TextAt(document, {"Name"});
  if (container.name.starts_with('/')) container.name.erase(0, 1);
  container.runtime = document.contains("ImageName") ? "podman" : "docker";
  container.image = TextAt(document, {"ImageName"});
  if (container.image.empty()) container.image = TextAt(document, {"Config", "Image"});
  container.restart_count = IdAt(document, {"RestartCount"});
  container.cgroup_parent = TextAt(document, {"HostConfig", "CgroupParent"});
  TakeState(state, &container);
  TakeLimits(Member(document, {"HostConfig"}), &container.limits);
  Add(std::move(container), to);
  return true;
}

bool TakeRuntimeEvent(const JsonValue& document, const DocumentReader& to) {
  if (!document.is_object()) return false;
  const bool docker = document.contains("Action") && document.contains("Actor");
  const bool podman = document.contains("Type") && document.contains("Status") && document.contains("ID");
  const bool old_docker = document.contains("status") && document.contains("id") && document.contains("time");
  if (!docker && !podman && !old_docker) return false;
  RuntimeEvent event;
  event.type = docker || podman ? TextAt(document, {"Type"}) : "container";
  event.action = docker ? TextAt(document, {"Action"}) : TextAt(document, {podman ? "Status" : "status"});
  event.id = docker ? TextAt(document, {"Actor", "ID"}) : TextAt(document, {podman ? "ID" : "id"});
  const JsonValue& attributes = docker ? Member(document, {"Actor", "Attributes"}) : Member(document, {"Attributes"});
  event.name = podman ? TextAt(document, {"Name"}) : TextAt(attributes, {"name"});
  event.image = podman ? TextAt(document, {"Image"}) : TextAt(attributes, {"image"});
  if (event.image.empty()) event.image = TextAt(document, {"from"});
  event.exit_code = podman ? IntAt(document, {"ContainerExitCode"}) : IntAt(attributes, {"exitCode"});
  event.signal = IntAt(attributes, {"signal"});
  for (const std::string_view key : {"timeNano", "TimeNano", "time", "Time"}) {
    event.time = MomentAt(document, {key});
    if (event.time.known()) break;
  }
  event.place = to.places->Find("", "");
  if (event.type == "container" && to.evidence->events.size() < kMostEvents)
    to.evidence->events.push_back(std::move(event));
  return true;
}

bool TakeStats(const JsonValue& document, const DocumentReader& to) {
  if (!document.is_object()) return false;
  Sample sample;
  sample.place = to.places->Find("", "");
  const JsonValue& api = Member(document, {"memory_stats"});
  if (api.is_object() && api.contains("usage")) {
    sample.memory_bytes = NumberAt(api, {"usage"});
    sample.limit_bytes = NumberAt(api, {"limit"});
    sample.pids = NumberAt(document, {"pids_stats", "current"});
    sample.time = MomentAt(document, {"read"});
    sample.id = TextAt(document, {"id"});
    sample.name = TextAt(document, {"name"});
  } else {
    const bool docker = document.contains("MemUsage");
    const auto usage = ParseUsageOfLimit(TextAt(document, {docker ? "MemUsage" : "mem_usage"}));
    if (!usage) return false;
    sample.memory_bytes = usage->usage_bytes;
    sample.limit_bytes = usage->limit_bytes;
    sample.memory_percent = ParsePercent(TextAt(document, {docker ? "MemPerc" : "mem_percent"}));
    sample.cpu_percent = ParsePercent(TextAt(document, {docker ? "CPUPerc" : "cpu_percent"}));
    sample.pids = NumberAt(document, {docker ? "PIDs" : "pids"});
    sample.id = TextAt(document, {docker ? "ID" : "id"});
    sample.name = TextAt(document, {docker ? "Name" : "name"});
  }
  if (sample.name.starts_with('/')) sample.name.erase(0, 1);
  if (to.evidence->samples.size() < kMostSamples) to.evidence->samples.push_back(std::move(sample));
  return true;
}

bool TakeCompose(const JsonValue& document, const DocumentReader& to) {
  const JsonValue& services = Member(document, {"services"});
  if (!services.is_object()) return false;
  const auto size_at = [](const JsonValue& object, std::initializer_list<std::string_view> path) -> Number {
    const JsonValue& value = Member(object, path);
    return value.is_string() ? ParseSize(value.get_ref<const std::string&>(), UnitStyle::kRam) : NumberAt(object, path);
  };
  const Locator top = *to.places;
  for (const auto& [name, service] : services.items()) {
    DeclaredLimits declared;
    declared.origin = "compose";
    declared.name = name;
    declared.image = TextAt(service, {"image"});
    Limits& limits = declared.limits;
    limits.memory_bytes = size_at(service, {"mem_limit"});
    if (!limits.memory_bytes) limits.memory_bytes = size_at(service, {"deploy", "resources", "limits", "memory"});
    const bool unlimited_swap = IntAt(service, {"memswap_limit"}) == -1;
    limits.memory_swap_bytes = unlimited_swap ? Number(kNoLimit) : size_at(service, {"memswap_limit"});
    if (limits.memory_swap_bytes == 0U) limits.memory_swap_bytes.reset();  // as if it were not there
    limits.reservation_bytes = size_at(service, {"mem_reservation"});
    if (!limits.reservation_bytes) {
      limits.reservation_bytes = size_at(service, {"deploy", "resources", "reservations", "memory"});
    }
    limits.pids = NumberAt(service, {"pids_limit"});
    if (!limits.pids) limits.pids = NumberAt(service, {"deploy", "resources", "limits", "pids"});
    limits.oom_kill_disable = BoolAt(service, {"oom_kill_disable"});
    Locator places = top;  // services come in the order of their names
    declared.place = places.Find("services:", "  " + name + ":");
    to.evidence->declared.push_back(std::move(declared));  // also one without limits: that says something
  }
  return true;
}

}  // namespace memtrace::tools
