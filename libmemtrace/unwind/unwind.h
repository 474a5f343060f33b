// Stacks of return addresses, from call frame information.
//
// Everything in this folder may be called in any context, inside malloc and in signal handlers (also
// in one that interrupted this code), on any stack. It takes no lock of libc or of the loader, does
// not allocate with malloc, does not touch errno. It blocks only where it meets code in a module
// for the first time: then /proc/self/maps is read under a lock of ours, which others wait for at most
// ten milliseconds before they give up and return a truncated stack.
#ifndef MEMTRACE_UNWIND_UNWIND_H_
#define MEMTRACE_UNWIND_UNWIND_H_

#include <cstdint>

namespace memtrace::unwind {

// Of the frame to start in: the caller of malloc, say, at the moment when malloc will have returned.
struct Registers {
  uintptr_t pc;  // return address
  uintptr_t sp;  // the canonical frame address of the function that will return
  uintptr_t fp;  // rbp or x29
};

struct Frame {
  uintptr_t pc;     // to look up: return address - 1 for a call, exact where a signal interrupted
  uintptr_t cfa;    // canonical frame address: the caller's sp after return; 0 in the outermost frame
  uint16_t module;  // index in the module table (modules.h), format::kNoModule for JIT code
  uint16_t flags;   // format::kNodeInterrupted
};

// Memory known to be readable.
struct StackLimits {
  uintptr_t low;
  uintptr_t high;
};

// The stack that `sp` lies on. For the stack of the calling thread it ends at the thread pointer
// (glibc and musl keep the thread control block at the top of a thread's stack) or, for the main
// thread, where exec put its arguments. On a stack of the program's own making (coroutines,
// sigaltstack) it is the rest of the page; Unwind probes further pages, once each and unwind.
// After a fork in a thread, either is right for `is_main_thread`; probing is slower.
// Cost: 2 ns; a system call for each page when the thread's stack is first seen to be that deep.
StackLimits CurrentStackLimits(uintptr_t sp, bool is_main_thread);

struct Unwound {
  uint32_t frames;
  bool truncated;  // the walk ended without reaching the end of the stack
};

// Writes the frames from `start` outwards, at most `capacity`. The frame that `start` describes
// comes first; the code that runs now must be called from it, directly or not.
// Stack: at most 3 KiB; 300 bytes where all rules are cached.
// Cost: some 5 ns a frame; half a microsecond where a pc is seen for the first time, or where unwind tables
// need registers beside sp and fp.
Unwound Unwind(const Registers& start, const StackLimits& limits, Frame* frames, uint32_t capacity);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_UNWIND_H_
