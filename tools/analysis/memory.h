// The heap next to the cgroup: what a recording knows about all memory that counts against the limit.
#ifndef MEMTRACE_TOOLS_ANALYSIS_MEMORY_H_
#define MEMTRACE_TOOLS_ANALYSIS_MEMORY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/reader/profile.h"

namespace memtrace::tools {

using Bytes = std::optional<uint64_t>;  // nothing: unknown, which is not 0

// Where the bytes of the cgroup are, up to its limit.
struct MemoryBridge {
  Bytes cgroup_bytes;
  Bytes native_live_bytes;
  Bytes allocator_overhead_bytes;
  Bytes other_anon_bytes;  // heaps of language runtimes, and other anonymous mappings
  Bytes stacks_bytes;
  Bytes file_bytes;
  Bytes shmem_bytes;
  Bytes kernel_bytes;
  Bytes sock_bytes;
  Bytes other_processes_bytes;
  Bytes headroom_bytes;  // from the usage to the limit

  Bytes anon_bytes;  // of the cgroup, all processes
  // Of allocator_overhead_bytes; known only where every block is.
  Bytes retained_bytes;    // on pages without a live block: the allocator could give them back
  Bytes fragmented_bytes;  // on pages with one: it could not

  // Says more than a time line and the live blocks do.
  bool HasFiles() const {
    return allocator_overhead_bytes || other_anon_bytes || stacks_bytes || file_bytes || shmem_bytes || kernel_bytes ||
           sock_bytes || other_processes_bytes;
  }
};

// Of the cgroup whose limit counts, which may be an ancestor of the process's own.
struct CgroupFacts {
  std::optional<int> version;
  std::optional<std::string> path;
  Bytes limit_bytes;
  Bytes usage_bytes;
  Bytes working_set_bytes;  // usage less inactive page cache: what reclaim cannot free at once
  Bytes peak_bytes;
  Bytes swap_bytes;
  Bytes oom_events;
  Bytes oom_kills;
  Bytes pids;
  Bytes pids_limit;
  std::optional<double> pressure_full_avg10;  // percent
};

CgroupFacts ReadCgroupFacts(const Profile& profile);
MemoryBridge BuildBridge(const Profile& profile, const CgroupFacts& cgroup);

// The number after `key` in lines of "key value" (memory.stat, memory.events) or "key: value kB"
// (/proc/PID/status, smaps_rollup; then `key` ends in a colon and the result is in bytes).
Bytes FieldOf(std::string_view text, std::string_view key);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_MEMORY_H_
