// Lost blocks: recorded blocks to which no pointer exists any more, anywhere in the process.
//
// They are looked for in a copy of the process (a fork that nobody waits for), so that the program stands still only
// until the copy is there. That the copy is of one moment, and no pointer is missed because it lies in a register, the
// other threads are stopped for it, by a process that shares our memory and traces them, as LeakSanitizer does.
#ifndef MEMTRACE_CORE_LOST_BLOCKS_H_
#define MEMTRACE_CORE_LOST_BLOCKS_H_

#include <cstdint>

namespace memtrace::core {

// Begins to look, on behalf of the snapshot at `path`, whose header says LookState::kUnderWay and then the result, from
// the copy, when the caller has long gone on. `sp`: below it the calling thread's stack holds nothing of the program's.
// Context: a thread that takes a snapshot, on a stack of its own with 64 KiB to spare.
void LookForLostBlocks(const char* path, uintptr_t sp);

// The copy is a child that the program's wait() does not see. Takes note of its end. Returns whether there is none
// left.
bool ReapCopy();

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_LOST_BLOCKS_H_
