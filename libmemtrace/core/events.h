// The slow path: what happens when an allocation is sampled or a recorded block is freed.
//
// Context: inside the interposed functions, before the block is handed to the program or back to the allocator.
// errno: untouched. Stack: at most about 2 KiB.
#ifndef MEMTRACE_CORE_EVENTS_H_
#define MEMTRACE_CORE_EVENTS_H_

#include <cstddef>
#include <cstdint>

#include "libmemtrace/core/live_table.h"
#include "libmemtrace/unwind/unwind.h"

namespace memtrace::core {

// The countdown reached zero with this allocation. `block` is what the real allocator returned, perhaps nullptr.
void Allocated(void* block, size_t size, const unwind::Registers& caller);

// The block is about to be given to the real free().
void Freed(void* block);

// realloc: the block is about to be given to the real realloc(). False: it is not recorded.
bool TakeForReallocation(void* block, LiveBlock* taken);
// The reallocation freed it, or failed and left it alone.
void CountReallocated(const LiveBlock& taken);
void PutBack(const LiveBlock& taken);

// A signal handler allocates or frees while it interrupts the slow path of its own thread: the event waits. Returns
// false if there is no room; a free then has to be done at once.
bool DeferAllocation(void* block, size_t size);
bool DeferFree(void* block);

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_EVENTS_H_
