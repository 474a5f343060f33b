// Facts about the running process, read once from /proc. What cannot be read stays zero or empty.
#ifndef MEMTRACE_CORE_IDENTITY_H_
#define MEMTRACE_CORE_IDENTITY_H_

#include <cstdint>

#include "libmemtrace/core/recording.h"
#include "libmemtrace/rt/cgroup.h"
#include "libmemtrace/rt/text.h"

namespace memtrace::core {

struct Identity {
  uint32_t pid;
  uint32_t parent_pid;
  uint32_t uid;
  uint64_t start_ticks;
  uint64_t start_ns;  // CLOCK_REALTIME
  uint64_t pid_namespace;
  uint8_t boot_id[16];
};
Identity ReadIdentity();

// The name of the executable without directory; characters that make file names awkward become '_'.
void ReadExecutableName(rt::TextBuilder* name);

// Writes the blobs that describe the process into a new recording.
void RecordIdentity(Recording* recording, const rt::Cgroup& cgroup, bool with_command);

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_IDENTITY_H_
