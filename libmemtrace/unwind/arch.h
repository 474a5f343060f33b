// The architecture that is being compiled for, as memtrace::unwind::arch.
#ifndef MEMTRACE_UNWIND_ARCH_H_
#define MEMTRACE_UNWIND_ARCH_H_

#if defined(__x86_64__)
#include "libmemtrace/unwind/arch_x86_64.h"
#elif defined(__aarch64__)
#include "libmemtrace/unwind/arch_aarch64.h"
#else
#error "memtrace runs on x86-64 and arm64"
#endif

namespace memtrace::unwind::arch {

inline constexpr int kColumns = sizeof(kTracked);
inline constexpr int kFpIndex = 0;  // of kFp in kTracked
inline constexpr int kRaIndex = 1;  // of kReturnColumn
static_assert(kTracked[kFpIndex] == kFp && kTracked[kRaIndex] == kReturnColumn);

// Index in kTracked, -1 for a register that is not followed.
constexpr int ColumnOf(uint64_t dwarf_register) {
  for (int i = 0; i < kColumns; ++i) {
    if (kTracked[i] == dwarf_register) return i;
  }
  return -1;
}

}  // namespace memtrace::unwind::arch

#endif  // MEMTRACE_UNWIND_ARCH_H_
