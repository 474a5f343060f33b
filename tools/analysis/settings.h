// What a user writes where to change a container's memory settings.
#ifndef MEMTRACE_TOOLS_ANALYSIS_SETTINGS_H_
#define MEMTRACE_TOOLS_ANALYSIS_SETTINGS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

enum class Setting {
  kNone,
  kLimit,      // the memory limit itself
  kSwap,       // memory and swap
  kTmpfs,      // size of file systems in memory
  kProcesses,  // number of processes and threads
  kJavaHeap,   // share of the limit that the runtime may take
  kNodeHeap,
  kGoHeap,
  kReturnFree,      // glibc gives free memory back
  kOtherAllocator,  // one that fragments less
  kRecord,          // run under memtrace
};

// "docker run ...", "Compose ...", "Kubernetes ...", one line each of at most 76 columns. `limit_bytes` is what the
// container shall have (0: unknown, then a placeholder stands there).
std::vector<std::string> SettingLines(Setting setting, uint64_t limit_bytes);

// What limits mean that were set with `origin` ("docker run", "compose", "kubernetes", a container runtime), a sentence
// each; none if nothing is known of them.
std::vector<std::string> MeaningOf(const Limits& limits, std::string_view origin);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_SETTINGS_H_
