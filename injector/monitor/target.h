// What `memtrace monitor` looks at: a process, a cgroup or a container.
#ifndef MEMTRACE_INJECTOR_MONITOR_TARGET_H_
#define MEMTRACE_INJECTOR_MONITOR_TARGET_H_

#include <cstdint>
#include <string>

#include "libmemtrace/rt/cgroup.h"

namespace memtrace::injector {

enum class TargetKind { kProcess, kCgroup, kContainer };

struct MonitorTarget {
  TargetKind kind = TargetKind::kProcess;
  std::string name;     // as the user said it
  int pid = 0;          // of the process, or of the first one of the container; 0: a cgroup alone
  std::string runtime;  // "docker" or "podman", if that program told where the container is
  rt::Cgroup cgroup;    // `directory` is never empty
  std::string message;  // why there is no such target; empty if there is
};

// `name`: a PID; a directory, or a path as in /proc/PID/cgroup; the id of a container or its first 12 digits or more,
// found through /proc; else a name that the docker or podman program knows. Empty: the calling process.
MonitorTarget FindTarget(const std::string& name);

// The id of the container that a cgroup path names: its last component with 64 hexadecimal digits. Empty: none.
std::string ContainerIdIn(const std::string& cgroup_path);

// The output of a program, without its last newline; empty if it is not there or fails. `*errors`: what it wrote to
// standard error, its first line.
std::string OutputOf(const char* const* command, std::string* errors = nullptr);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_MONITOR_TARGET_H_
