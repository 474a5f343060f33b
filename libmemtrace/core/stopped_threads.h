// Stops the other threads of a process, with their registers.
#ifndef MEMTRACE_CORE_STOPPED_THREADS_H_
#define MEMTRACE_CORE_STOPPED_THREADS_H_

#include <cstdint>

namespace memtrace::core {

inline constexpr uint32_t kMostStoppedThreads = 4096;

struct StoppedThread {
  int tid;
  int signal;  // that was about to be delivered
  uintptr_t sp;
  uintptr_t thread_pointer;
  uint64_t registers[36];
  uint64_t vectors[340];
};

// Stops all threads that /proc/PID/task, open as `tasks`, lists, but for `spared`. `threads` has room for
// kMostStoppedThreads. Returns 0 or a negative error number; *count counts those that are to be resumed in any case.
// Context: a process of its own that may trace them and shares their memory or not; nothing is locked.
// A system call that they wait in is taken up again, but for those that no debugger can interrupt unseen (epoll_wait).
int StopThreads(int tasks, int spared, StoppedThread* threads, uint32_t* count);
void ResumeThreads(const StoppedThread* threads, uint32_t count);

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_STOPPED_THREADS_H_
