// A lock for the library's rare, short critical sections. It may be lost for ever (a thread that
// was cancelled or jumped out of our code by a signal handler), so nobody waits without end.
#ifndef MEMTRACE_RT_LOCK_H_
#define MEMTRACE_RT_LOCK_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/rt/os.h"

namespace memtrace::rt {

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield" ::: "memory");
#endif
}

// Calls `attempt` until it returns true: spins, then yields, then sleeps; gives up after about a
// second. The holder may be preempted, or inside a signal handler of the program.
template <typename Attempt>
bool WaitFor(Attempt attempt) {
  for (int i = 0; i < 100; ++i) {
    if (attempt()) return true;
    Pause();
  }
  for (int i = 0; i < 50; ++i) {
    if (attempt()) return true;
    Yield();
  }
  for (int i = 0; i < 10000; ++i) {
    if (attempt()) return true;
    SleepNanoseconds(100'000);
  }
  return false;
}

class Lock {
 public:
  bool TryAcquire() { return !held_.exchange(true, std::memory_order_acquire); }
  bool Acquire() {
    return WaitFor([this] { return TryAcquire(); });
  }
  void Release() { held_.store(false, std::memory_order_release); }
  // In a forked child: whoever held it is not here.
  void Reset() { held_.store(false, std::memory_order_relaxed); }

 private:
  std::atomic<bool> held_{false};
};

// Holds `lock` for a scope. Test held() first.
class LockHolder {
 public:
  explicit LockHolder(Lock* lock) : lock_(lock), held_(lock->Acquire()) {}
  ~LockHolder() {
    if (held_) lock_->Release();
  }
  LockHolder(const LockHolder&) = delete;
  LockHolder& operator=(const LockHolder&) = delete;
  bool held() const { return held_; }

 private:
  Lock* lock_;
  bool held_;
};

}  // namespace memtrace::rt

#endif  // MEMTRACE_RT_LOCK_H_
