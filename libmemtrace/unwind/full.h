// Unwinding with all callee-saved registers, for the rare functions whose CFA is kept in one of them.
#ifndef MEMTRACE_UNWIND_FULL_H_
#define MEMTRACE_UNWIND_FULL_H_

#include <cstdint>

#include "libmemtrace/unwind/unwind.h"

namespace memtrace::unwind {

// As Unwind. Only the running code knows its registers, so this walks from here to `start` first.
// Cost: about half a microsecond per frame.
Unwound UnwindFull(const Registers& start, const StackLimits& limits, Frame* frames, uint32_t capacity);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_FULL_H_
