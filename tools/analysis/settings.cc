#include "tools/analysis/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

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

}  // namespace

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
