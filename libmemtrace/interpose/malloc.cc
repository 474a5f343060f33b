// The malloc family of C.

#include <asm/errno.h>

#include "libmemtrace/interpose/bootstrap.h"
#include "libmemtrace/interpose/record.h"

namespace memtrace::interpose {

bool NoteFreeSlowly(void* block) {
  if (block == nullptr) return true;
  if (IsBootstrap(block)) return false;
  if (core::t_state.in_memtrace != 0) return !core::DeferFree(block);
  // Also inside a real call: a block that is recorded is the program's, so a signal handler frees it.
  core::Freed(block);
  return true;
}

namespace {

bool Ready() { return __builtin_expect(g_real.malloc != nullptr, 1) || Begin(); }

// Common to all functions that return a block: `call` is the real one.
template <typename Call>
[[gnu::always_inline]] inline void* Allocate(size_t size, Caller caller, Call call) {
  if (__builtin_expect(IsNested(), 0)) {
    void* block = call();
    NoteNestedAllocation(block, size);
    return block;
  }
  void* block;
  {
    const RealCall real_call;
    block = call();
  }
  return NoteAllocation(block, size, caller);
}

void Copy(void* to, const void* from, size_t size) {
  for (size_t i = 0; i < size; ++i) static_cast<char*>(to)[i] = static_cast<const char*>(from)[i];
}

bool Product(size_t a, size_t b, size_t* product) { return !__builtin_mul_overflow(a, b, product); }

// A block of the bootstrap arena moves to the real allocator.
void* LeaveBootstrap(void* old, size_t size) {
  void* block = g_real.malloc(size);
  const size_t old_size = BootstrapSize(old);
  if (block != nullptr) Copy(block, old, old_size < size ? old_size : size);
  return block;
}

}  // namespace

// realloc: a free of the old block and an allocation of the new one. Where the new one has the old address, the block
// is out of the table for the while, as it would be between free and malloc.
template <typename Call>
[[gnu::always_inline]] inline void* Reallocate(void* old, size_t size, Caller caller, Call call) {
  if (__builtin_expect(IsBootstrap(old), 0)) return Allocate(size, caller, [=] { return LeaveBootstrap(old, size); });
  if (__builtin_expect(IsNested(), 0)) {
    if (core::t_state.in_real != 0 || old == nullptr) return Allocate(size, caller, call);
    // A signal handler: the old block must stay until the handler's free can be recorded.
    void* block = g_real.malloc(size);
    if (block == nullptr) return nullptr;
    const size_t old_size = g_real.malloc_usable_size != nullptr ? g_real.malloc_usable_size(old) : size;
    Copy(block, old, old_size < size ? old_size : size);
    core::DeferAllocation(block, size);
    if (!core::DeferFree(old)) g_real.free(old);
    return block;
  }
  core::LiveBlock taken;
  const bool recorded = old != nullptr && core::g_filter.MayHold(old) && core::TakeForReallocation(old, &taken);
  void* block;
  {
    const RealCall real_call;
    block = call();
  }
  if (recorded) {
    if (block == nullptr && size != 0) {
      core::PutBack(taken);
    } else {
      core::CountReallocated(taken);
    }
  }
  const bool freed_only = block == nullptr && size == 0 && old != nullptr;
  if (!freed_only) NoteAllocation(block, size, caller);
  return block;
}

namespace {
[[gnu::noinline]] void* MallocSlowly(size_t size) {
  if (!Ready()) return BootstrapAllocate(size);
  return Allocate(size, MEMTRACE_CALLER(), [=] { return g_real.malloc(size); });
}
}  // namespace

// That the allocation will not be recorded is known before it is made (a countdown above zero also means that the real
// function is known): nothing is left to do after the call, which becomes a jump. So must the other way, where the
// caller is looked for: this file is always compiled with optimisation.
MEMTRACE_EXPORT void* malloc(size_t size) {
  core::ThreadState& thread = core::t_state;
  const int64_t countdown = thread.countdown;
  const auto charged = static_cast<int64_t>(size + (size == 0 ? 1 : 0));
  if (__builtin_expect(charged > 0 && countdown > charged && !IsNested(), 1)) {
    thread.countdown = countdown - charged;
    return g_real.malloc(size);
  }
  return MallocSlowly(size);
}

namespace {
[[gnu::noinline]] void FreeSlowly(void* block) {
  if (NoteFreeSlowly(block) && Ready()) g_real.free(block);
}
}  // namespace

MEMTRACE_EXPORT void free(void* block) {
  const auto real = g_real.free;
  if (__builtin_expect(core::g_filter.MayHold(block) || real == nullptr, 0)) return FreeSlowly(block);
  real(block);
}

MEMTRACE_EXPORT void cfree(void* block) { free(block); }

MEMTRACE_EXPORT void* calloc(size_t count, size_t size) {
  size_t bytes = 0;
  const bool fits = Product(count, size, &bytes);
  if (!Ready()) return fits ? BootstrapAllocate(bytes) : nullptr;
  if (!fits) return g_real.calloc(count, size);  // fails, and sets errno
  return Allocate(bytes, MEMTRACE_CALLER(), [=] { return g_real.calloc(count, size); });
}

MEMTRACE_EXPORT void* realloc(void* old, size_t size) {
  if (!Ready()) {
    void* block = BootstrapAllocate(size);
    if (old != nullptr && block != nullptr && IsBootstrap(old)) {
      Copy(block, old, BootstrapSize(old) < size ? BootstrapSize(old) : size);
    }
    return block;
  }
  return Reallocate(old, size, MEMTRACE_CALLER(), [=] { return g_real.realloc(old, size); });
}

MEMTRACE_EXPORT void* reallocarray(void* old, size_t count, size_t size) {
  size_t bytes = 0;
  const bool fits = Product(count, size, &bytes);
  if (!Ready()) return fits ? realloc(old, bytes) : nullptr;
  if (!fits) {  // without the function the same failure: a size that no allocator grants
    return g_real.reallocarray != nullptr ? g_real.reallocarray(old, count, size) : g_real.realloc(old, ~size_t{0} / 2);
  }
  return Reallocate(old, bytes, MEMTRACE_CALLER(), [=] {
    return g_real.reallocarray != nullptr ? g_real.reallocarray(old, count, size) : g_real.realloc(old, bytes);
  });
}

MEMTRACE_EXPORT void* memalign(size_t alignment, size_t size) {
  if (!Ready()) return BootstrapAllocate(size, alignment);
  return Allocate(size, MEMTRACE_CALLER(), [=] { return g_real.memalign(alignment, size); });
}

MEMTRACE_EXPORT void* aligned_alloc(size_t alignment, size_t size) {
  if (!Ready()) return BootstrapAllocate(size, alignment);
  return Allocate(size, MEMTRACE_CALLER(), [=] {
    return g_real.aligned_alloc != nullptr ? g_real.aligned_alloc(alignment, size) : g_real.memalign(alignment, size);
  });
}

MEMTRACE_EXPORT int posix_memalign(void** result, size_t alignment, size_t size) {
  if (!Ready()) {
    *result = BootstrapAllocate(size, alignment);
    return *result == nullptr ? ENOMEM : 0;
  }
  int error = 0;
  Allocate(size, MEMTRACE_CALLER(), [&]() -> void* {
    error = g_real.posix_memalign(result, alignment, size);
    return error == 0 ? *result : nullptr;
  });
  return error;
}

MEMTRACE_EXPORT void* valloc(size_t size) {
  if (!Ready()) return BootstrapAllocate(size, rt::PageBytes());
  return Allocate(size, MEMTRACE_CALLER(), [=] {
    return g_real.valloc != nullptr ? g_real.valloc(size) : g_real.memalign(rt::PageBytes(), size);
  });
}

MEMTRACE_EXPORT void* pvalloc(size_t size) {
  const size_t page = rt::PageBytes();
  const size_t rounded = (size + page - 1) & ~(page - 1);
  if (!Ready()) return BootstrapAllocate(rounded, page);
  return Allocate(size, MEMTRACE_CALLER(),
                  [=] { return g_real.pvalloc != nullptr ? g_real.pvalloc(size) : g_real.memalign(page, rounded); });
}

// C23. The sizes are the program's promise to the allocator; an allocator without these functions does not need it.
MEMTRACE_EXPORT void free_sized(void* block, size_t size) {
  if (!NoteFree(block) || !Ready()) return;
  g_real.free_sized != nullptr ? g_real.free_sized(block, size) : g_real.free(block);
}

MEMTRACE_EXPORT void free_aligned_sized(void* block, size_t alignment, size_t size) {
  if (!NoteFree(block) || !Ready()) return;
  g_real.free_aligned_sized != nullptr ? g_real.free_aligned_sized(block, alignment, size) : g_real.free(block);
}

namespace {
[[gnu::noinline]] size_t UsableSizeSlowly(void* block) {
  if (IsBootstrap(block)) return BootstrapSize(block);
  return Ready() && g_real.malloc_usable_size != nullptr ? g_real.malloc_usable_size(block) : 0;
}
}  // namespace

// Some programs call it for every allocation and free (redis).
MEMTRACE_EXPORT size_t malloc_usable_size(void* block) {
  const auto real = g_real.malloc_usable_size;
  if (block == nullptr) return 0;
  if (__builtin_expect(real == nullptr || IsBootstrap(block), 0)) return UsableSizeSlowly(block);
  return real(block);
}

}  // namespace memtrace::interpose
