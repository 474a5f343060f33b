// Runs a function on a stack of its own.
#ifndef MEMTRACE_RT_OWN_STACK_H_
#define MEMTRACE_RT_OWN_STACK_H_

#include "libmemtrace/rt/os.h"
#include "libmemtrace/rt/syscall.h"

namespace memtrace::rt {

// Calls function(context) with the stack pointer at `top`, which is a multiple of 16.
inline void CallOnStack(void* top, void (*function)(void*), void* context) {
#if defined(__x86_64__)
  asm volatile(
      "movq %%rsp, %%rbx\n\t"
      "movq %[top], %%rsp\n\t"
      "callq *%[function]\n\t"
      "movq %%rbx, %%rsp"
      : [top] "+r"(top), [function] "+r"(function), "+D"(context)
      :
      : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
        "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory");
#elif defined(__aarch64__)
  register void* x0 asm("x0") = context;
  asm volatile(
      "mov x19, sp\n\t"
      "mov sp, %[top]\n\t"
      "blr %[function]\n\t"
      "mov sp, x19"
      : [top] "+r"(top), [function] "+r"(function), "+r"(x0)
      :
      : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
        "x19", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14",
        "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30",
        "v31", "cc", "memory");
#endif
}

// The same with a fresh stack. Signals wait meanwhile: the kernel, which finds the thread outside of its alternate
// stack, would put a handler over the frames that are in use there. Returns false, and calls nothing, if there is no
// memory.
inline bool CallOnOwnStack(size_t stack_bytes, void (*function)(void*), void* context) {
  void* stack = MapAnonymous(stack_bytes);
  if (stack == nullptr) return false;
  constexpr int kSetMask = 2;  // SIG_SETMASK
  const uint64_t all = ~uint64_t{0};
  uint64_t before = 0;
  Syscall(__NR_rt_sigprocmask, kSetMask, Address(&all), Address(&before), sizeof(all));
  CallOnStack(static_cast<uint8_t*>(stack) + stack_bytes, function, context);
  Syscall(__NR_rt_sigprocmask, kSetMask, Address(&before), 0, sizeof(before));
  Unmap(stack, stack_bytes);
  return true;
}

}  // namespace memtrace::rt

#endif  // MEMTRACE_RT_OWN_STACK_H_
