// Raw system calls. Nothing here touches errno; failures come back as negative error numbers.
// Callable in any context: inside malloc, in signal handlers, before libc is initialised.
#ifndef MEMTRACE_RT_SYSCALL_H_
#define MEMTRACE_RT_SYSCALL_H_

#include <asm/unistd.h>

#include <cstddef>
#include <cstdint>

namespace memtrace::rt {

#if defined(__x86_64__)
inline long Syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long Syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
#error "memtrace runs on x86-64 and arm64"
#endif

inline long Address(const void* pointer) { return static_cast<long>(reinterpret_cast<uintptr_t>(pointer)); }

// mmap and friends report errors as values in [-4095, -1].
inline bool IsError(long result) { return result < 0 && result >= -4095; }

}  // namespace memtrace::rt

#endif  // MEMTRACE_RT_SYSCALL_H_
