#include "tools/analysis/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

// {m} is the limit in MiB, {part} a part of it. Compose's keys stand below services.NAME, Kubernetes' below the
// container.
struct Lines {
  Setting setting;
  uint64_t percent;  // of the limit, for {part}
  const char* docker;
  const char* compose;
  const char* kubernetes;
};
constexpr Lines kLines[] = {
    {Setting::kLimit, 0, "--memory={m}m --memory-swap={m}m", "mem_limit: {m}m",
     "resources: {{limits: {{memory: {m}Mi}}, requests: {{memory: {m}Mi}}}}"},
    {Setting::kSwap, 200, "--memory={m}m --memory-swap={part}m", "memswap_limit: {part}m",
     "swap is the node's: memorySwap.swapBehavior: LimitedSwap"},
    {Setting::kTmpfs, 25, "--shm-size={part}m --tmpfs=/tmp:size={part}m",
     "shm_size: {part}m; tmpfs: [\"/tmp:size={part}m\"]",
     "volumes: [{{name: tmp, emptyDir: {{sizeLimit: {part}Mi}}}}]"},
    {Setting::kProcesses, 0, "--pids-limit=200", "pids_limit: 200", "of the kubelet: podPidsLimit: 200"},
    {Setting::kJavaHeap, 60, "-e JAVA_TOOL_OPTIONS=-XX:MaxRAMPercentage=60",
     "environment: {{JAVA_TOOL_OPTIONS: \"-XX:MaxRAMPercentage=60\"}}",
     "env: [{{name: JAVA_TOOL_OPTIONS, value: -XX:MaxRAMPercentage=60}}]"},
    {Setting::kNodeHeap, 60, "-e NODE_OPTIONS=--max-old-space-size={part}",
     "environment: {{NODE_OPTIONS: \"--max-old-space-size={part}\"}}",
     "env: [{{name: NODE_OPTIONS, value: --max-old-space-size={part}}}]"},
    {Setting::kGoHeap, 80, "-e GOMEMLIMIT={part}MiB", "environment: {{GOMEMLIMIT: {part}MiB}}",
     "env: [{{name: GOMEMLIMIT, value: {part}MiB}}]"},
    {Setting::kReturnFree, 0, "-e MALLOC_TRIM_THRESHOLD_=131072 -e MALLOC_ARENA_MAX=2",
     "environment: {{MALLOC_TRIM_THRESHOLD_: 131072, MALLOC_ARENA_MAX: 2}}",
     "env: [{{name: MALLOC_TRIM_THRESHOLD_, value: 131072}}]"},
    {Setting::kOtherAllocator, 0, "-e LD_PRELOAD=libjemalloc.so.2", "environment: {{LD_PRELOAD: libjemalloc.so.2}}",
     "env: [{{name: LD_PRELOAD, value: libjemalloc.so.2}}]"},
    {Setting::kRecord, 0, "memtrace inject docker", "memtrace inject compose FILE", "memtrace inject kubernetes FILE"},
};

// --- What they mean ---

bool IsLimit(const Number& number) { return number && *number != kNoLimit; }

// Docker's rules (docs.docker.com, resource constraints), which podman, nerdctl and Compose follow.
std::string SwapMeaning(const Limits& limits) {
  const uint64_t memory = *limits.memory_bytes;
  const Number& both = limits.memory_swap_bytes;
  if (!both) {
    return fmt::format(
        "up to {} of swap beside its {} of memory, where the host has swap: a memory limit alone allows as "
        "much swap again",
        FormatBytes(memory), FormatBytes(memory));
  }
  if (*both == kNoLimit) return fmt::format("beside its {} of memory swap without a bound", FormatBytes(memory));
  if (*both == memory)
    return fmt::format("no swap: the limit of memory and swap together is that of memory, {}", FormatBytes(memory));
  if (*both < memory) return "memory and swap together are given less than memory alone, which runtimes refuse";
  return fmt::format("up to {} of swap beside its {} of memory{}", FormatBytes(*both - memory), FormatBytes(memory),
                     *both - memory == memory ? ", as much again: what a memory limit alone allows" : "");
}

std::string MemoryMeaning(const Limits& limits, bool kubernetes) {
  if (!IsLimit(limits.memory_bytes))
    return kubernetes ? "no memory limit: it may take what its node has"
                      : "no memory limit: it may take what the host has";
  if (!kubernetes) return SwapMeaning(limits);
  return fmt::format("killed above {}", FormatBytes(*limits.memory_bytes)) +
         (limits.reservation_bytes ? "" : "; without a request of its own the limit is also the request");
}

std::string ReservationMeaning(const Limits& limits, bool kubernetes) {
  if (!IsLimit(limits.reservation_bytes)) return "";
  const std::string bytes = FormatBytes(*limits.reservation_bytes);
  return kubernetes ? "the request of " + bytes + " is no limit: it is what the scheduler sets aside on the node"
                    : "the reservation of " + bytes +
                          " is no limit: the kernel reclaims down to it when the host is short of memory";
}

}  // namespace

std::vector<std::string> MeaningOf(const Limits& limits, std::string_view origin) {
  if (!limits.any()) return {};
  const bool kubernetes = origin == "kubernetes" || origin == "cri" || origin == "containerd";
  std::vector<std::string> meaning;
  const bool update_of_others = !limits.memory_bytes && !limits.reservation_bytes && origin.ends_with("update");
  if (!update_of_others) meaning.push_back(MemoryMeaning(limits, kubernetes));
  if (std::string text = ReservationMeaning(limits, kubernetes); !text.empty()) meaning.push_back(std::move(text));
  if (IsLimit(limits.pids)) meaning.push_back(fmt::format("at most {} processes and threads", *limits.pids));
  if (limits.oom_kill_disable.value_or(false))
    meaning.emplace_back("at its limit it is not killed but stands still (cgroup version 1 only)");
  return meaning;
}

std::vector<std::string> SettingLines(Setting setting, uint64_t limit_bytes) {
  const auto* lines =
      std::find_if(std::begin(kLines), std::end(kLines), [&](const Lines& l) { return l.setting == setting; });
  if (lines == std::end(kLines)) return {};
  const uint64_t mib = limit_bytes >> 20;
  const auto amount = [&](uint64_t value) {
    return limit_bytes == 0 ? std::string("N") : std::to_string(std::max<uint64_t>(value, 1));
  };
  const auto fill = [&](const char* text) {
    return fmt::format(fmt::runtime(text), fmt::arg("m", amount(mib)),
                       fmt::arg("part", amount(mib / 100 * lines->percent + mib % 100 * lines->percent / 100)));
  };
  const bool command = setting == Setting::kRecord;
  return {(command ? "docker run: " : "docker run ") + fill(lines->docker), "Compose: " + fill(lines->compose),
          "Kubernetes: " + fill(lines->kubernetes)};
}

}  // namespace memtrace::tools
