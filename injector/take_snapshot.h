// A snapshot of a running process, taken from outside through its recording.
#ifndef MEMTRACE_INJECTOR_TAKE_SNAPSHOT_H_
#define MEMTRACE_INJECTOR_TAKE_SNAPSHOT_H_

#include <string>

namespace memtrace::injector {

struct SnapshotOrder {
  std::string pid;        // as seen from here
  std::string directory;  // of the snapshot; empty: beside the recording
  // Lost blocks are looked for, which only the process itself can do: it is asked through its recording, and takes the
  // snapshot as soon as it allocates.
  bool reachability = false;
};

struct SnapshotOutcome {
  bool taken = false;
  std::string path;     // of the snapshot, if taken; as seen from here
  std::string message;  // why not, and what to do
};

// The process is neither stopped nor signalled. It may live in another container: its recording is reached through
// /proc/PID/root. Needs the right to read that process's files.
SnapshotOutcome TakeSnapshotOf(const SnapshotOrder& order);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_TAKE_SNAPSHOT_H_
