// The time line: now and then the slow path looks at the clock and at the cgroup. There is no thread and no timer; a
// heap that grows allocates.
#ifndef MEMTRACE_CORE_TIMELINE_H_
#define MEMTRACE_CORE_TIMELINE_H_

#include <cstdint>

#include "libmemtrace/format/tables.h"

namespace memtrace::core {

// To be asked after every 64th recorded allocation of a thread, every large one, and 16 KiB of work. Cheap unless a
// point is due: a quarter of a second after the last one, or when the heap has grown by a 64th of the memory limit.
// Then records a point, takes the threshold snapshots and watches the brink.
void CheckTimeline(const format::ThreadBuffer& buffer);

// Records a point now; for the beginning, snapshots and the end.
void RecordPoint();

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_TIMELINE_H_
