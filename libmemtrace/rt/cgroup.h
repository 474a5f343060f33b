// The memory cgroup of a process: where it lies, which limit holds, how full it is. Versions 1
// and 2, hybrid hierarchies, private cgroup namespaces, bind-mounted subtrees.
//
// Defaults of syscall.h hold. FindCgroup needs 20 KiB of stack, the others 8 KiB.
#ifndef MEMTRACE_RT_CGROUP_H_
#define MEMTRACE_RT_CGROUP_H_

#include <cstddef>
#include <cstdint>

#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/text.h"

namespace memtrace::rt {

inline constexpr size_t kCgroupPathBytes = 1024;

struct Cgroup {
  int version = 0;  // of the hierarchy with the memory controller: 1, 2; 0 none
  // As in /proc/PID/cgroup: relative to the reader's cgroup namespace.
  char path[kCgroupPathBytes] = "";
  // The cgroup that the process's memory is charged to, as the reader's mounts show it: its own,
  // or (version 2) the nearest one above that has the memory controller. Empty: not visible.
  char directory[kCgroupPathBytes] = "";
  // `directory` or the one above it whose limit will be hit: the smallest limit, of equal ones the
  // nearest. `directory` where there is no limit.
  char limit_directory[kCgroupPathBytes] = "";
  uint64_t limit_bytes = format::kUnknown;  // kUnknown: no limit as far as visible
  // Version 1 keeps the pids controller in a hierarchy of its own. Empty: not visible.
  char pids_directory[kCgroupPathBytes] = "";
};

// `proc_directory` is "/proc/self" or "/proc/PID"; `root` is put before every path, "" is the live
// system. Returns whether `directory` is known; version and path may be even if it is not.
bool FindCgroup(const char* proc_directory, const char* root, Cgroup* cgroup);
// FindCgroup in two steps: all but pids_directory, which version 1 has to look for once more; then that.
bool FindMemoryCgroup(const char* proc_directory, const char* root, Cgroup* cgroup);
void FindPids(const char* proc_directory, const char* root, Cgroup* cgroup);

// Of the limit's cgroup, which holds other processes as well. kUnknown: not readable.
struct MemoryUse {
  uint64_t usage_bytes = format::kUnknown;
  uint64_t inactive_file_bytes = format::kUnknown;
  uint64_t limit_bytes = format::kUnknown;

  // What the kernel cannot drop without effort, as the kubelet computes it.
  uint64_t WorkingSetBytes() const {
    if (usage_bytes == format::kUnknown || inactive_file_bytes == format::kUnknown) return format::kUnknown;
    return usage_bytes > inactive_file_bytes ? usage_bytes - inactive_file_bytes : 0;
  }
  // That, or all of the usage where it is not known.
  uint64_t CountedBytes() const { return inactive_file_bytes != format::kUnknown ? WorkingSetBytes() : usage_bytes; }
};

// Without `with_stat` one small read: the usage, with the limit that FindCgroup saw. With it, also
// memory.stat, and the limit of now (`docker update` may have moved it). Returns whether the usage
// is known. Cost: about 2 us, with memory.stat 10 to 100 us.
bool ReadMemoryUse(const Cgroup& cgroup, bool with_stat, MemoryUse* use);

// Calls `visit` for each existing file that tells about memory or processes. `name` is the file's name,
// with "../" in front for each level that the limit's cgroup lies above `directory`.
using CgroupFileVisitor = void (*)(void* context, Text name, const char* path);
void VisitCgroupFiles(const Cgroup& cgroup, CgroupFileVisitor visit, void* context);

}  // namespace memtrace::rt

#endif  // MEMTRACE_RT_CGROUP_H_
