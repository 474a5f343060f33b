// libunwind, where the program has it loaded, behind the interface of unwind.h. Never linked: the caller
// looks its functions up.
#ifndef MEMTRACE_UNWIND_LIBUNWIND_BACKEND_H_
#define MEMTRACE_UNWIND_LIBUNWIND_BACKEND_H_

#include <atomic>

#include "libmemtrace/unwind/unwind.h"

namespace memtrace::unwind {

// int unw_backtrace(void** buffer, int size): return addresses, innermost first (libunwind 1.0 or newer;
// LLVM's libunwind has no such function). It is signal-safe and caches its rules per thread, but takes
// the loader's lock where it meets new code.
using UnwBacktrace = int (*)(void** buffer, int size);

// Switches Unwind to libunwind; nullptr switches back. False, and no change, if a trial call finds no
// frame. To be called once, before stacks are taken.
bool UseLibunwind(UnwBacktrace backtrace);

// What Unwind does then. Frames below `start` are left out; cfa is unknown, 0. A walk that begins
// elsewhere than at the running code is truncated.
// Requires: UseLibunwind succeeded. Stack: 4 KiB and what libunwind takes.
Unwound UnwindByLibunwind(const Registers& start, Frame* frames, uint32_t capacity);

// Null: Unwind is our own. Stored by UseLibunwind only.
extern constinit std::atomic<UnwBacktrace> g_unw_backtrace __attribute__((visibility("hidden")));
inline bool IsLibunwindUsed() { return g_unw_backtrace.load(std::memory_order_relaxed) != nullptr; }

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_LIBUNWIND_BACKEND_H_
