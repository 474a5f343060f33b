// jemalloc's extended interface. Where the program has no jemalloc, nobody but a program that asks for weak symbols
// calls these; they then behave as far as malloc can.

#include "libmemtrace/interpose/record.h"

namespace memtrace::interpose {
namespace {

struct JemallocFunctions {
  void* (*mallocx)(size_t, int);
  void* (*rallocx)(void*, size_t, int);
  size_t (*xallocx)(void*, size_t, size_t, int);
  void (*dallocx)(void*, int);
  void (*sdallocx)(void*, size_t, int);
};
JemallocFunctions g_jemalloc;

// jemalloc(3): the low six bits are the logarithm of the alignment, bit 6 asks for zeroes.
constexpr int kAlignmentMask = 0x3f;
constexpr int kZero = 0x40;

void* AllocateWithoutJemalloc(size_t size, int flags) {
  const size_t alignment = size_t{1} << (flags & kAlignmentMask);
  if (alignment <= 16) return (flags & kZero) != 0 ? g_real.calloc(1, size) : g_real.malloc(size);
  void* block = g_real.memalign(alignment, size);
  if (block != nullptr && (flags & kZero) != 0) __builtin_memset(block, 0, size);
  return block;
}

}  // namespace

MEMTRACE_EXPORT void* mallocx(size_t size, int flags) {
  if (!Begin()) return nullptr;
  const auto real = Resolve(&g_jemalloc.mallocx, "mallocx");
  if (IsNested()) return real != nullptr ? real(size, flags) : AllocateWithoutJemalloc(size, flags);
  void* block;
  {
    const RealCall real_call;
    block = real != nullptr ? real(size, flags) : AllocateWithoutJemalloc(size, flags);
  }
  NoteAllocation(block, size, MEMTRACE_CALLER());
  return block;
}

MEMTRACE_EXPORT void* rallocx(void* old, size_t size, int flags) {
  if (!Begin()) return nullptr;
  const auto real = Resolve(&g_jemalloc.rallocx, "rallocx");
  core::LiveBlock taken;
  const bool nested = IsNested();
  const bool recorded = !nested && core::g_filter.MayHold(old) && core::TakeForReallocation(old, &taken);
  const uint8_t in_real = core::t_state.in_real;
  core::t_state.in_real = 1;
  void* block = real != nullptr ? real(old, size, flags) : g_real.realloc(old, size);
  core::t_state.in_real = in_real;
  if (recorded && block == nullptr) core::PutBack(taken);
  if (recorded && block != nullptr) core::CountReallocated(taken);
  if (!nested) NoteAllocation(block, size, MEMTRACE_CALLER());
  return block;
}

// Resizes in place; returns the size that the block has now. A change counts as a free and an allocation.
MEMTRACE_EXPORT size_t xallocx(void* block, size_t size, size_t extra, int flags) {
  if (!Begin()) return 0;
  const auto real = Resolve(&g_jemalloc.xallocx, "xallocx");
  if (real == nullptr) return g_real.malloc_usable_size != nullptr ? g_real.malloc_usable_size(block) : 0;
  if (IsNested()) return real(block, size, extra, flags);
  core::LiveBlock taken;
  const bool recorded = core::g_filter.MayHold(block) && core::TakeForReallocation(block, &taken);
  size_t result;
  {
    const RealCall real_call;
    result = real(block, size, extra, flags);
  }
  if (recorded && result < size) core::PutBack(taken);
  if (recorded && result >= size) core::CountReallocated(taken);
  if (result >= size) NoteAllocation(block, size, MEMTRACE_CALLER());
  return result;
}

MEMTRACE_EXPORT void dallocx(void* block, int flags) {
  if (!Begin() || !NoteFree(block)) return;
  const auto real = Resolve(&g_jemalloc.dallocx, "dallocx");
  real != nullptr ? real(block, flags) : g_real.free(block);
}

MEMTRACE_EXPORT void sdallocx(void* block, size_t size, int flags) {
  if (!Begin() || !NoteFree(block)) return;
  const auto real = Resolve(&g_jemalloc.sdallocx, "sdallocx");
  real != nullptr ? real(block, size, flags) : g_real.free(block);
}

}  // namespace memtrace::interpose
