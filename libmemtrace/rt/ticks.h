// The processor's counter of time: what measuring the slow path can afford. Constant rate, common to all processors
// (x86-64 since about 2008, arm64 always).
#ifndef MEMTRACE_RT_TICKS_H_
#define MEMTRACE_RT_TICKS_H_

#include <cstdint>

namespace memtrace::rt {

// Not ordered against the code around it; good for what takes tens of nanoseconds.
inline uint64_t ReadTicks() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#endif
}

}  // namespace memtrace::rt

#endif  // MEMTRACE_RT_TICKS_H_
