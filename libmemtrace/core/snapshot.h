// Snapshots of this process.
#ifndef MEMTRACE_CORE_SNAPSHOT_H_
#define MEMTRACE_CORE_SNAPSHOT_H_

#include <cstdint>

#include "libmemtrace/format/recording.h"

namespace memtrace::core {

// Takes a snapshot of this process, unless one is being taken. Context: also signal handlers, of threads that are not
// in the slow path. Returns whether one was written.
bool TakeSnapshot(format::Trigger trigger, uint32_t percent);

// What the handler of the snapshot signal does: takes one, or leaves word if it interrupted the slow path.
void SnapshotFromSignal();

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_SNAPSHOT_H_
