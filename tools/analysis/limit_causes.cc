// Rows of the decision table about whose limit it was, if any.
#include <fmt/format.h>

#include <algorithm>

#include "tools/analysis/causes.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

// The largest processes of the kernel's table, for the words. Pages of 4 KiB.
std::string LargestTasks(const OomReport& report, size_t count) {
  std::vector<const TaskRow*> rows;
  for (const TaskRow& row : report.tasks) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(), [](const TaskRow* a, const TaskRow* b) { return a->rss_pages > b->rss_pages; });
  std::string text;
  for (size_t i = 0; i < std::min(count, rows.size()); ++i) {
    text += fmt::format("{}{} (pid {}) {}", i == 0 ? "" : ", ", rows[i]->name, rows[i]->pid,
                        FormatBytes(rows[i]->rss_pages * 4096));
  }
  return text;
}

std::optional<Finding> HostOom(const Case& facts) {
  if (facts.incident.owner != LimitOwner::kHost || facts.incident.kill == nullptr) return std::nullopt;
  Finding finding;
  finding.strength = 90;
  finding.confidence = Confidence::kConfirmed;
  finding.sentence =
      "No limit of the container was reached: the host itself ran out of memory, and the kernel chose this process.";
  if (const OomReport* report = facts.incident.report; report != nullptr && !report->tasks.empty()) {
    finding.evidence.push_back(facts.evidence()->Where(report->tasks.front().place) +
                               ": largest on the host: " + LargestTasks(*report, 3));
  }
  finding.advice = {
      "Raising this container's limit does not help; give the host more memory or fewer tenants.",
      "Give every container a limit, and in Kubernetes requests equal to limits (QoS Guaranteed), so that others "
      "are chosen first."};
  return finding;
}

std::optional<Finding> AncestorLimit(const Case& facts) {
  if (facts.incident.owner != LimitOwner::kAncestor) return std::nullopt;
  Finding finding;
  finding.strength = 85;
  finding.confidence = facts.incident.kill != nullptr ? Confidence::kConfirmed : Confidence::kLikely;
  const std::string whose = facts.incident.kill != nullptr && !facts.incident.kill->oom_memcg.empty()
                                ? "the cgroup above, " + facts.incident.kill->oom_memcg
                                : std::string("a cgroup above");
  finding.sentence = fmt::format(
      "That is not the container's own limit but that of {}, which it shares with all that lies below it.", whose);
  if (const OomReport* report = facts.incident.report; report != nullptr && !report->tasks.empty()) {
    finding.evidence.push_back(facts.evidence()->Where(report->tasks.front().place) +
                               ": largest below that limit: " + LargestTasks(*report, 3));
  }
  const bool pod = whose.find("kubepods") != std::string::npos;
  if (pod) {
    finding.advice = {
        "It is the pod's limit, the sum of its containers' limits: raise those of the container that needs more, and "
        "look "
        "at tmpfs volumes (emptyDir with medium Memory), which count too."};
  } else {
    finding.advice = {
        "Raise the limit of that cgroup (the slice, the docker --cgroup-parent), or lower the sum of what runs below "
        "it; the "
        "container's own limit does not matter here.",
        "systemd: systemctl set-property NAME.slice MemoryMax=SIZE"};
  }
  return finding;
}

Finding Eviction(const std::string& resource) {
  Finding finding;
  finding.confidence = Confidence::kConfirmed;
  const bool memory = resource.empty() || resource == "memory";
  finding.sentence = fmt::format(
      "The kubelet evicted the pod{}; the kernel killed nothing.",
      resource.empty() ? std::string()
                       : fmt::format(" because its node was short of {}{}", resource, memory ? "" : ", not of memory"));
  if (memory) {
    finding.advice = {
        "Compare the node's memory with the sum of requests; set the pod's memory request near its real use.",
        "What it held then, its limit did not bound: kubectl top pod, and memtrace monitor while it runs."};
  } else {
    finding.advice = {"Its memory limit does not matter here: kubectl describe node shows what the node is short of."};
  }
  return finding;
}

// Killed or stopped, but not by the kernel for memory.
std::optional<Finding> NotOom(const Case& facts) {
  const Incident& incident = facts.incident;
  if (incident.proof >= Proof::kStateFlag) return std::nullopt;
  const bool by_notice = incident.notice != nullptr && incident.notice->kind == NoticeKind::kEviction;
  const bool by_event = incident.stopped != nullptr && incident.stopped->action == "Evicted";
  Finding finding;
  if (by_notice || by_event) {
    finding = Eviction(incident.evicted_for);
  } else if (incident.notice != nullptr) {
    finding.confidence = Confidence::kConfirmed;
    finding.sentence = "A killer in user space acted before the kernel had to; the kernel killed nothing.";
    finding.advice = {
        "Its configuration (systemd-oomd, earlyoom) says when it acts; the container's limit does not matter."};
  } else if (incident.stopped != nullptr) {
    finding.confidence = Confidence::kLikely;
    finding.sentence = fmt::format(
        "Somebody sent signal {} through the container runtime, and nothing speaks for an OOM kill: docker stop, "
        "docker "
        "kill or a deployment.",
        incident.stopped->signal.value_or(9));
    finding.advice = {"Look for who stopped it: docker events, the audit log."};
  }
  finding.strength = 95;
  if (!finding.sentence.empty()) return finding;
  const ContainerState* state = incident.state;
  if (state == nullptr || !state->exit_code || *state->exit_code == 137 || state->running.value_or(false))
    return std::nullopt;
  finding.confidence = state->oom_killed.has_value() ? Confidence::kConfirmed : Confidence::kLikely;
  finding.sentence =
      fmt::format("The container ended by itself with exit code {}, not by SIGKILL, and no OOM kill is on record.",
                  *state->exit_code);
  finding.advice = {"Its own log says why it ended: docker logs NAME, kubectl logs --previous POD"};
  if (*state->exit_code == 0) finding.strength = 15;
  return finding;
}

// The kernel's own sums do not meet.
std::optional<Finding> AccountingFault(const Case& facts) {
  const std::optional<double> gap = facts.parts.Unexplained();
  constexpr double kLargeGap = 0.25;
  if (!gap || *gap < kLargeGap || !facts.ended_at_limit()) return std::nullopt;
  Finding finding;
  finding.strength = 76;
  finding.confidence = Confidence::kLikely;
  finding.sentence = fmt::format(
      "The kernel charges {} to the cgroup, but {} of that is in none of its own counters: charges that were never "
      "given back.",
      FormatBytes(*facts.parts.usage), FormatShare(*gap));
  finding.evidence = {
      fmt::format("{}: anonymous, page cache, shared memory, kernel and sockets together explain only {}",
                  facts.parts.where, FormatShare(1 - *gap))};
  finding.advice = {
      "Known of memory cgroups in kernels before 4.x and with kmem accounting in 3.10: update the kernel, or "
      "boot with cgroup.memory=nokmem."};
  return finding;
}

std::optional<Finding> SwapExhausted(const Case& facts) {
  const OomReport* report = facts.incident.report;
  if (report == nullptr || facts.incident.owner == LimitOwner::kHost) return std::nullopt;
  const auto full = [](const UsageLine& line) {
    return line.usage_kb && line.limit_kb && *line.limit_kb > 0 && *line.limit_kb < uint64_t{1} << 50 &&
           *line.usage_kb >= *line.limit_kb / 100 * 99;
  };
  const bool swap_full = full(report->swap);
  // Version 1 counts memory and swap together, and its limit may be reached while that of memory is not.
  const bool both_full = full(report->memsw) && report->memory.usage_kb &&
                         *report->memsw.usage_kb > *report->memory.usage_kb + *report->memory.usage_kb / 50;
  if (!swap_full && !both_full) return std::nullopt;
  const UsageLine& line = swap_full ? report->swap : report->memsw;
  Finding finding;
  finding.strength = 50;
  finding.confidence = Confidence::kConfirmed;
  finding.sentence = fmt::format("Memory and swap were both used up: {} of {} {}.", FormatBytes(*line.usage_kb * 1024),
                                 FormatBytes(*line.limit_kb * 1024), swap_full ? "swap" : "memory and swap");
  finding.evidence = {facts.evidence()->Where(report->place) + ": " + finding.sentence};
  finding.setting = Setting::kSwap;
  finding.recommended_limit = facts.limit();
  return finding;
}

constexpr CauseRow kRows[] = {
    {"host-oom", HostOom},
    {"ancestor-limit", AncestorLimit},
    {"not-oom", NotOom},
    {"swap-exhausted", SwapExhausted},
    {"accounting-fault", AccountingFault},
};

}  // namespace

std::span<const CauseRow> LimitCauses() { return kRows; }

}  // namespace memtrace::tools
