// JSON of Kubernetes and of the runtimes below it.
#include <utility>

#include "tools/evidence/container_text.h"
#include "tools/evidence/documents.h"
#include "tools/evidence/events_text.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

Number QuantityAt(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const JsonValue& value = Member(object, path);
  return value.is_string() ? ParseSize(value.get_ref<const std::string&>(), UnitStyle::kKubernetes)
                           : NumberAt(object, path);
}

Limits LimitsOf(const JsonValue& container) {
  Limits limits;
  limits.memory_bytes = QuantityAt(container, {"resources", "limits", "memory"});
  limits.reservation_bytes = QuantityAt(container, {"resources", "requests", "memory"});
  return limits;
}

void Add(ContainerState state, const DocumentReader& to) {
  if (to.evidence->containers.size() < kMostContainers) to.evidence->containers.push_back(std::move(state));
}

// "containerd://<id>"
std::string PlainId(const std::string& id) {
  const size_t scheme = id.find("://");
  return scheme == std::string::npos ? id : id.substr(scheme + 3);
}

// One of {"running": {...}}, {"terminated": {...}}, {"waiting": {...}}; false if there is none of them.
bool TakeState(const JsonValue& state, ContainerState* container) {
  for (const std::string_view kind : {"terminated", "running", "waiting", "termination"}) {
    const JsonValue& inner = Member(state, {kind});
    if (!inner.is_object()) continue;
    container->status = kind == "termination" ? "terminated" : kind;  // the word of 2014
    container->running = kind == "running";
    container->reason = TextAt(inner, {"reason"});
    container->error = TextAt(inner, {"message"});
    container->exit_code = IntAt(inner, {"exitCode"});
    container->signal = IntAt(inner, {"signal"});
    container->started = MomentAt(inner, {"startedAt"});
    container->finished = MomentAt(inner, {"finishedAt"});
    if (IsOomReason(container->reason)) container->oom_killed = true;
    return true;
  }
  return false;
}

void TakeStatuses(const JsonValue& pod, std::string_view list, const DocumentReader& to) {
  const JsonValue& statuses = Member(pod, {"status", list});
  if (!statuses.is_array()) return;
  for (const JsonValue& status : statuses) {
    ContainerState base;
    base.runtime = "kubernetes";
    base.pod = TextAt(pod, {"metadata", "name"});
    base.name_space = TextAt(pod, {"metadata", "namespace"});
    base.name = TextAt(status, {"name"});
    base.image = TextAt(status, {"image"});
    base.restart_count = IdAt(status, {"restartCount"});
    for (const std::string_view containers : {"containers", "initContainers"}) {
      const JsonValue& specs = Member(pod, {"spec", containers});
      if (!specs.is_array()) continue;
      for (const JsonValue& spec : specs)
        if (TextAt(spec, {"name"}) == base.name) base.limits = LimitsOf(spec);
    }
    for (const std::string_view which : {"state", "lastState"}) {
      ContainerState state = base;
      if (!TakeState(Member(status, {which}), &state)) continue;
      state.previous = which == "lastState";
      state.id = PlainId(TextAt(Member(status, {which, "terminated"}), {"containerID"}));
      if (state.id.empty() && !state.previous) state.id = PlainId(TextAt(status, {"containerID"}));
      state.place = to.places->Find("", state.reason);
      Add(std::move(state), to);
    }
  }
}

bool TakePod(const JsonValue& pod, const DocumentReader& to) {
  for (const std::string_view list : {"initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"})
    TakeStatuses(pod, list, to);
  if (TextAt(pod, {"status", "reason"}) == "Evicted") {
    Notice notice{to.places->Find("", "Evicted"),
                  MomentAt(pod, {"status", "startTime"}),
                  NoticeKind::kEviction,
                  TextAt(pod, {"metadata", "name"}),
                  {}};
    // "The node was low on resource: memory. ..."
    const std::string message = TextAt(pod, {"status", "message"});
    if (const auto resource = Between(message, "low on resource: ", ".")) {
      Notice reason = notice;
      reason.kind = NoticeKind::kEvictionReason;
      reason.subject = *resource;
      to.evidence->notices.push_back(std::move(reason));
    }
    to.evidence->notices.push_back(std::move(notice));
  }
  return true;
}

void TakeSpec(const JsonValue& container, const std::string& owner, const DocumentReader& to) {
  DeclaredLimits declared;
  declared.origin = "kubernetes";
  declared.name = TextAt(container, {"name"});
  if (declared.name.empty()) declared.name = owner;
  declared.image = TextAt(container, {"image"});
  declared.limits = LimitsOf(container);
  declared.place = to.places->Find(declared.name, "");
  to.evidence->declared.push_back(std::move(declared));
}

void TakeManifest(const JsonValue& pod_spec, const std::string& owner, const DocumentReader& to) {
  for (const std::string_view list : {"initContainers", "containers"}) {
    const JsonValue& containers = Member(pod_spec, {list});
    if (!containers.is_array()) continue;
    for (const JsonValue& container : containers) TakeSpec(container, owner, to);
  }
}

bool TakeEvent(const JsonValue& document, const DocumentReader& to) {
  RuntimeEvent event;
  event.type = TextAt(document, {"type"});
  event.action = TextAt(document, {"reason"});
  event.message = TextAt(document, {"message"});
  if (event.message.empty()) event.message = TextAt(document, {"note"});
  event.name = TextAt(document, {"involvedObject", "name"});
  if (event.name.empty()) event.name = TextAt(document, {"regarding", "name"});
  for (const std::string_view key : {"lastTimestamp", "eventTime", "firstTimestamp"}) {
    event.time = MomentAt(document, {key});
    if (event.time.known()) break;
  }
  event.place = to.places->Find("", event.action);
  if (to.evidence->events.size() < kMostEvents) to.evidence->events.push_back(std::move(event));
  return true;
}

// crictl: {"status": {"id", "metadata", "state": "CONTAINER_EXITED", ...}, "info": {"pid", "runtimeSpec"}}
bool TakeCriStatus(const JsonValue& status, const JsonValue& info, const DocumentReader& to) {
  const std::string state = TextAt(status, {"state"});
  if (!state.starts_with("CONTAINER_")) return false;
  ContainerState container;
  container.runtime = "cri";
  container.id = TextAt(status, {"id"});
  container.name = TextAt(status, {"metadata", "name"});
  container.pod = TextAt(status, {"labels", "io.kubernetes.pod.name"});
  container.name_space = TextAt(status, {"labels", "io.kubernetes.pod.namespace"});
  container.image = TextAt(status, {"image", "image"});
  container.restart_count = IdAt(status, {"metadata", "attempt"});
  container.status = Lower(std::string_view(state).substr(10));
  container.running = state == "CONTAINER_RUNNING";
  if (state == "CONTAINER_EXITED") container.exit_code = IntAt(status, {"exitCode"});
  container.reason = TextAt(status, {"reason"});
  if (IsOomReason(container.reason)) container.oom_killed = true;
  container.started = MomentAt(status, {"startedAt"});
  container.finished = MomentAt(status, {"finishedAt"});
  const auto pid = IdAt(info, {"pid"});
  if (pid && *pid > 0) container.pid = pid;
  container.limits.memory_bytes = NumberAt(info, {"runtimeSpec", "linux", "resources", "memory", "limit"});
  const Number configured = NumberAt(status, {"resources", "linux", "memoryLimitInBytes"});
  if (!container.limits.memory_bytes && configured && *configured > 0) container.limits.memory_bytes = configured;
  container.place = to.places->Find(container.id, "exitCode");
  Add(std::move(container), to);
  return true;
}

}  // namespace

bool TakeCriInspect(const JsonValue& document, const DocumentReader& to) {
  if (!document.is_object()) return false;
  if (TakeCriStatus(Member(document, {"status"}), Member(document, {"info"}), to)) return true;
  const JsonValue& list = Member(document, {"containers"});
  if (list.is_array() && !list.empty() && TextAt(list[0], {"state"}).starts_with("CONTAINER_")) {
    for (const JsonValue& container : list) TakeCriStatus(container, {}, to);
    return true;
  }
  // ctr container info
  if (!document.contains("Spec") || !document.contains("Runtime") || !document.contains("ID")) return false;
  DeclaredLimits declared;
  declared.origin = "containerd";
  declared.name = TextAt(document, {"ID"});
  declared.image = TextAt(document, {"Image"});
  declared.limits.memory_bytes = NumberAt(document, {"Spec", "linux", "resources", "memory", "limit"});
  declared.limits.pids = NumberAt(document, {"Spec", "linux", "resources", "pids", "limit"});
  declared.place = to.places->Find("", "limit");
  to.evidence->declared.push_back(std::move(declared));
  return true;
}

bool TakeKubernetes(const JsonValue& document, const DocumentReader& to) {
  const std::string kind = TextAt(document, {"kind"});
  const JsonValue& items = Member(document, {"items"});
  if (items.is_array() && (kind.ends_with("List") || kind.empty())) {
    bool taken = false;
    for (const JsonValue& item : items) {
      if (!item.is_object()) continue;
      JsonValue typed = item;
      // The items of a PodList need not say that they are pods.
      if (!typed.contains("kind") && kind.size() > 4 && kind != "List") typed["kind"] = kind.substr(0, kind.size() - 4);
      taken = TakeKubernetes(typed, to) || taken;
    }
    return taken || kind.ends_with("List");
  }
  if (kind == "Event") return TakeEvent(document, to);
  const JsonValue& status = Member(document, {"status"});
  const bool has_status = status.is_object() && (status.contains("containerStatuses") || status.contains("phase"));
  if ((kind == "Pod" || kind.empty()) && has_status) return TakePod(document, to);
  if (Member(document, {"containerStatuses"}).is_array()) {  // the status alone
    JsonValue pod;
    pod["status"] = document;
    return TakePod(pod, to);
  }
  const std::string name = TextAt(document, {"metadata", "name"});
  if (kind == "Pod") {
    TakeManifest(Member(document, {"spec"}), name, to);
    return true;
  }
  for (const JsonValue* pod_spec : {&Member(document, {"spec", "template", "spec"}),
                                    &Member(document, {"spec", "jobTemplate", "spec", "template", "spec"})}) {
    if (!pod_spec->is_object()) continue;
    TakeManifest(*pod_spec, name, to);
    return true;
  }
  return false;
}

bool TakeDocument(const JsonValue& document, const DocumentReader& to) {
  if (document.is_array()) {
    bool taken = false;
    for (const JsonValue& element : document) taken = (element.is_object() && TakeDocument(element, to)) || taken;
    return taken;
  }
  using Taker = bool (*)(const JsonValue&, const DocumentReader&);
  // Pods before events: both have a status; one State is known by keys that the others nest.
  constexpr Taker kTakers[] = {TakeKubernetes,   TakeCriInspect, TakeDockerInspect,
                               TakeRuntimeEvent, TakeStats,      TakeCompose};
  for (const Taker take : kTakers)
    if (take(document, to)) return true;
  return false;
}

}  // namespace memtrace::tools
