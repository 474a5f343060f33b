// Writes snapshots: a recording frozen at one moment, with what /proc and the cgroup say at that moment. Knows nothing
// of the process that it runs in; the library and `memtrace snapshot` share it.
#ifndef MEMTRACE_CORE_SNAPSHOT_WRITER_H_
#define MEMTRACE_CORE_SNAPSHOT_WRITER_H_

#include <cstdint>

#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/cgroup.h"
#include "libmemtrace/rt/text.h"

namespace memtrace::core {

struct SnapshotRequest {
  // May change and grow under our eyes. Chunks that its directory lists are mapped as far as `recording_bytes`, which
  // should leave room to grow: blocks move up into new chunks.
  const uint8_t* recording;
  uint64_t recording_bytes;
  const char* proc_directory;  // "/proc/self" or "/proc/PID"
  const rt::Cgroup* cgroup;
  rt::Text stem;    // of the snapshot's path: number and ending follow
  uint32_t number;  // the first that may be used; one that is taken is passed over
  format::Trigger trigger;
  uint32_t trigger_percent;
  // Memory for the work, at least kSnapshotWorkspaceBytes; the stack may be small.
  uint8_t* workspace;
  // Descriptor of the file in which the process names the code that it makes at run time; -1: none.
  int perf_map = -1;
  // What is said of lost blocks for now.
  format::LookState look = format::LookState::kNone;
};
inline constexpr rt::Text kRecordingEnding = ".rec";
inline constexpr rt::Text kSnapshotEnding = ".snap";
inline constexpr uint64_t kSnapshotWorkspaceBytes = 3 * format::kChunkBytes;

// /tmp/perf-PID.map of the calling process (a custom of perf), never through a link; negative: there is none.
int OpenPerfMap(uint32_t pid);

// Writes one; it appears under its name when it is whole. Raw system calls only, nobody is stopped or waited for.
// Returns 0 with its path in *path, or a negative error number with nothing left behind. Also called from outside of
// the process, by `memtrace snapshot`.
int WriteSnapshot(SnapshotRequest request, rt::TextBuilder* path);

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_SNAPSHOT_WRITER_H_
