// The one recorded process: everything that core/ keeps in private memory, and its life from the first allocation over
// fork and exec to the end.
#ifndef MEMTRACE_CORE_PROCESS_H_
#define MEMTRACE_CORE_PROCESS_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/config/options.h"
#include "libmemtrace/core/budget.h"
#include "libmemtrace/core/filter.h"
#include "libmemtrace/core/live_table.h"
#include "libmemtrace/core/recording.h"
#include "libmemtrace/core/site_table.h"
#include "libmemtrace/core/stack_table.h"
#include "libmemtrace/core/thread_state.h"
#include "libmemtrace/rt/cgroup.h"
#include "libmemtrace/rt/lock.h"

namespace memtrace::core {

// What the interposer found out before core starts.
struct Surroundings {
  void (*release)(void* block);  // the real free
  format::Libc libc;
  uint32_t flags;                  // format::kFlag...
  bool attached = false;           // to a running program
  uint64_t heap_bytes_before = 0;  // as in format::Header
};

enum class Mode : uint32_t {
  kOff = 0,       // nothing is recorded, allocations cost next to nothing
  kStarting = 1,  // one thread is setting up
  kOn = 2,
  kStopped = 3,  // by request; threads look now and then whether it has been withdrawn
};

// How the time line is filled, see timeline.cc.
struct TimelineSlots {
  uint64_t points = 0;  // recorded so far
  uint64_t stride = 1;  // every stride-th is kept, from the first on
  uint32_t used = 0;
};

struct Process {
  std::atomic<Mode> mode{Mode::kOff};
  std::atomic<uint32_t> generation{1};  // raised in a forked child; makes every ThreadState stale
  // A word on a page that the kernel wipes in forked children (MADV_WIPEONFORK, Linux 4.14). nullptr: not supported,
  // the process id is compared instead.
  std::atomic<uint32_t>* alive = nullptr;
  int pid = 0;
  int failure = 0;  // negative error number for which the last Start() could not record; 0: it was not to

  config::Options options = {};
  Surroundings surroundings = {};
  char executable[96] = {};  // name without directory
  char directory[512] = {};  // of the recordings
  uint64_t start_ticks = 0;

  Recording recording;
  StackTable stacks;
  LiveTable live;
  SiteTable sites;
  std::atomic<uint64_t> live_entries{0};  // in the live table, give or take 64 per thread
  rt::Lock module_lock;
  rt::Lock rate_lock;
  rt::Lock attach_lock;
  rt::Lock timeline_lock;

  // The program's malloc and free go elsewhere; what does come here (a function that the other allocator lacks) is
  // freed without our knowledge and would look like a leak.
  bool bypassed() const {
    return (surroundings.flags & (format::kFlagExecutableHasOwnMalloc | format::kFlagShadowedByPreload)) != 0;
  }

  rt::Cgroup cgroup = {};
  std::atomic<uint64_t> next_tick_ns{0};     // CLOCK_MONOTONIC
  std::atomic<uint64_t> last_look_ticks{0};  // rt::ReadTicks() when that was last compared with the clock
  std::atomic<uint64_t> next_tick_live_bytes{0};
  TimelineSlots timeline;
  std::atomic<uint32_t> thresholds_taken{0};
  std::atomic<bool> snapshot_running{false};
  std::atomic<int> copy{0};  // process id of the copy in which lost blocks are looked for, see lost_blocks.h
  std::atomic<uint64_t>* copy_progress = nullptr;  // shared with it; by the thread that takes a snapshot
  Budget budget;
  bool brink = false;
  uint64_t rate_before_brink = 0;
};
extern Process g_process __attribute__((visibility("hidden")));
// Apart, so that it lies among the zeroes of the file.
extern Filter g_filter __attribute__((visibility("hidden")));

// Sets up recording for this process as the environment says. Called by the first allocation or the library's
// constructor, and by an attacher, also again after StopRecording; allocations of other threads meanwhile are not
// recorded. Returns whether this process was to be recorded, also where that failed (Process::failure): who then sends
// the signal for a snapshot must not kill it.
bool Start(const char* const* environment, const Surroundings& surroundings);

// Whether this is a forked child that still believes to be its parent.
inline bool InForkedChild() {
  const Process& p = g_process;
  if (__builtin_expect(p.alive != nullptr, 1)) return p.alive->load(std::memory_order_relaxed) == 0;
  return rt::ProcessId() != p.pid;
}
// Drops the parent's recording and begins one of the child's own, if children are followed. Call with
// ThreadState::in_memtrace set.
void BecomeChild();
// On the way into the slow path: becomes a child if it is one, and resumes if a stop has been withdrawn. Call with
// ThreadState::in_memtrace set.
inline void FollowForkAndRequest();

// Stops recording for good, or until Resume: what is recorded stands as it is, later frees are not seen.
void StopRecording();
// After StopRecording: begins a new recording, with Origin::kAttach; blocks from before are not in it. False: it was
// not stopped, a file cannot be made, or another thread has not left the old one yet; then it may be tried again. Call
// with ThreadState::in_memtrace set.
bool Resume();

// After StopRecording: gives the memory of the recording back. Requires: no thread has ThreadState::in_memtrace set but
// the caller's. False: it was not stopped.
bool Release();

// The process ends in an orderly way, or would, if what still runs after us lets it. May be called more than once.
void Finish();

inline void FollowForkAndRequest() {
  if (InForkedChild()) BecomeChild();
  if (g_process.mode.load(std::memory_order_acquire) != Mode::kStopped) return;
  if (Load(g_process.recording.header().wanted) == static_cast<uint32_t>(format::Wanted::kRecord)) Resume();
}

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_PROCESS_H_
