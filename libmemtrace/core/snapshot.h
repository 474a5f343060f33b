// Snapshots: a recording frozen at one moment, with what /proc and the cgroup say at that moment.
#ifndef MEMTRACE_CORE_SNAPSHOT_H_
#define MEMTRACE_CORE_SNAPSHOT_H_

#include <cstdint>

#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/cgroup.h"

namespace memtrace::core {

struct SnapshotRequest {
  const uint8_t* recording;  // mapped, at least `recording_bytes` long; may change under our eyes
  uint64_t recording_bytes;
  const char* proc_directory;  // "/proc/self" or "/proc/PID"
  const rt::Cgroup* cgroup;
  const char* path;  // of the snapshot; appears when it is whole
  format::Trigger trigger;
  uint32_t trigger_percent;
  uint32_t number;
  // Memory for the work, at least kSnapshotWorkspaceBytes; the stack may be small.
  uint8_t* workspace;
};
inline constexpr uint64_t kSnapshotWorkspaceBytes = 3 * format::kChunkBytes;

// Writes one. Raw system calls only, nobody is stopped or waited for. Returns 0 or a negative error number, with nothing left
// behind. Also used from outside of the process by `memtrace snapshot`.
int WriteSnapshot(const SnapshotRequest& request);

// Takes a snapshot of this process, unless one is being taken. Context: also signal handlers, of threads that are not in the slow
// path. Returns whether one was written.
bool TakeSnapshot(format::Trigger trigger, uint32_t percent);

// What the handler of the snapshot signal does: takes one, or leaves word if it interrupted the slow path.
void SnapshotFromSignal();

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_SNAPSHOT_H_
