// Which thread owns which buffer of the recording.
#ifndef MEMTRACE_CORE_THREAD_BUFFERS_H_
#define MEMTRACE_CORE_THREAD_BUFFERS_H_

#include <cstdint>

#include "libmemtrace/core/budget.h"
#include "libmemtrace/core/recording.h"
#include "libmemtrace/core/site_table.h"
#include "libmemtrace/core/thread_state.h"
#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/remembering.h"

namespace memtrace::core {

// Private memory beside a thread buffer; its address is in ThreadBuffer::scratch.
struct ThreadScratch {
  uint64_t random;           // state of the thread's generator
  uint32_t index;            // of the buffer
  const ThreadState* state;  // of the owner: gone when it is dead
  bool is_main_thread;
  StayMeter meter;
  int32_t pending_entries;     // change of the live table's content, not yet in Process::live_entries
  unwind::StackLimits limits;  // of the stack that the thread was on last; valid for any sp within
  SiteIndex sites;
  unwind::RememberedStack stack;  // with room for options.depth frames behind it
};

// A buffer for thread `tid`: that of a dead thread, or a new one; nullptr if there is no room. Requires:
// the caller holds a lock against itself.
format::ThreadBuffer* ClaimThreadBuffer(Recording* recording, uint32_t tid, uint32_t depth);

// Unmaps the private memory of all threads. Requires: none of them is recorded any more.
void ReleaseScratch(const Recording& recording, uint32_t depth);

// The `index`-th buffer, index < header.thread_count.
format::ThreadBuffer* ThreadBufferAt(const Recording& recording, uint32_t index);

// What the process holds: the sums of the header with what threads keep to themselves. 0 where it is below for a
// moment.
struct LiveSums {
  uint64_t bytes;
  uint64_t count_q16;
};
LiveSums SumLive(const Recording& recording);

inline format::DeferredEvent* DeferredEvents(format::ThreadBuffer* buffer) {
  return reinterpret_cast<format::DeferredEvent*>(buffer + 1);
}

inline ThreadScratch* Scratch(const format::ThreadBuffer* buffer) {
  return reinterpret_cast<ThreadScratch*>(static_cast<uintptr_t>(buffer->scratch));
}

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_THREAD_BUFFERS_H_
