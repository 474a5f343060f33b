// What a thread knows without looking into the recording, in static TLS, zero in a new thread. The library may have 64
// bytes of it: what the loader leaves over for libraries that are loaded late.
#ifndef MEMTRACE_CORE_THREAD_STATE_H_
#define MEMTRACE_CORE_THREAD_STATE_H_

#include <cstddef>
#include <cstdint>

#include "libmemtrace/format/tables.h"

namespace memtrace::core {

struct ThreadState {
  // Bytes until the fast path must look closer; zero or less after an allocation takes the slow path. In exact
  // mode it stands at zero, so that every allocation does.
  int64_t countdown;
  int64_t countdown_start;  // its value after the last slow path: the difference is work done
  int64_t gap_rest;         // what is left of the sampling gap behind the countdown
  format::ThreadBuffer* buffer;
  uint64_t last_block;      // address of the last recorded allocation...
  int64_t last_countdown;   // ... valid as long as the countdown has not moved
  uint32_t generation;      // of the process state that this was set up for; a fork makes it stale
  uint8_t in_real;          // inside the real allocator: what it allocates for itself is not the program's
  uint8_t in_memtrace;      // inside the slow path: a signal handler that allocates must wait
  uint8_t rate;             // index of the rate that the gap was drawn with
  uint8_t snapshot_wanted;  // the snapshot signal came while in_memtrace
};
static_assert(sizeof(ThreadState) == 56);  // the unwinder keeps one word more

#ifdef MEMTRACE_TLS_DYNAMIC
extern constinit thread_local ThreadState t_state __attribute__((visibility("hidden")));
#else
extern constinit thread_local ThreadState t_state __attribute__((tls_model("initial-exec"), visibility("hidden")));
#endif

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_THREAD_STATE_H_
