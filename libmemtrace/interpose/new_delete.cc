// operator new and delete of C++, in all forms.
//
// Where the next definition comes from a C++ runtime it calls malloc, which is recorded there: ours only pass on. Where it comes
// from the allocator (jemalloc, tcmalloc, mimalloc) it does not, and is recorded here. No guard is held around the real
// call: it may throw, and nothing here could release it.

#include "libmemtrace/interpose/bootstrap.h"
#include "libmemtrace/interpose/record.h"

namespace memtrace::interpose {
namespace {

// Whether operator new allocates by itself. Asked at each call until a definition is there: a C program may load a C++
// library later.
bool RecordsHere() {
  static std::atomic<int> known{0};
  int state = known.load(std::memory_order_relaxed);
  if (state == 0 && g_real.malloc != nullptr && FindNext("_Znwm") != 0) {
    state = NextIsSameModule("malloc", "_Znwm") ? 2 : 1;
    known.store(state, std::memory_order_relaxed);
  }
  return state == 2;
}

template <typename... Arguments>
[[gnu::always_inline]] inline void* New(void* (**real)(size_t, Arguments...), const char* name,
                                        const unwind::Registers& caller, size_t size, Arguments... arguments) {
  Begin();
  if (Resolve(real, name) == nullptr) {
    // No C++ runtime in sight: as good as a nothrow new.
    return g_real.malloc != nullptr ? g_real.malloc(size) : BootstrapAllocate(size);
  }
  if (!RecordsHere() || IsNested()) return (*real)(size, arguments...);
  void* block = (*real)(size, arguments...);
  NoteAllocation(block, size, caller);
  return block;
}

template <typename... Arguments>
[[gnu::always_inline]] inline void Delete(void (**real)(void*, Arguments...), const char* name, void* block,
                                          Arguments... arguments) {
  Begin();
  if (Resolve(real, name) != nullptr) {
    if (!RecordsHere() || NoteFree(block)) (*real)(block, arguments...);
  } else if (g_real.free != nullptr) {
    g_real.free(block);
  }
}

}  // namespace

using Nothrow = const void*;  // const std::nothrow_t&
using Alignment = size_t;     // std::align_val_t

// MEMTRACE_NEW(function, symbol, (parameters), arguments...): one definition per form.
#define MEMTRACE_NEW(symbol, parameters, types, ...)                              \
  MEMTRACE_EXPORT void* symbol parameters {                                       \
    static void*(*real) types = nullptr;                                          \
    return New(&real, #symbol, MEMTRACE_CALLER(), __VA_ARGS__);                   \
  }
#define MEMTRACE_DELETE(symbol, parameters, types, ...) \
  MEMTRACE_EXPORT void symbol parameters {              \
    static void(*real) types = nullptr;                 \
    Delete(&real, #symbol, __VA_ARGS__);                \
  }

MEMTRACE_NEW(_Znwm, (size_t size), (size_t), size)
MEMTRACE_NEW(_Znam, (size_t size), (size_t), size)
MEMTRACE_NEW(_ZnwmRKSt9nothrow_t, (size_t size, Nothrow tag), (size_t, Nothrow), size, tag)
MEMTRACE_NEW(_ZnamRKSt9nothrow_t, (size_t size, Nothrow tag), (size_t, Nothrow), size, tag)
MEMTRACE_NEW(_ZnwmSt11align_val_t, (size_t size, Alignment alignment), (size_t, Alignment), size, alignment)
MEMTRACE_NEW(_ZnamSt11align_val_t, (size_t size, Alignment alignment), (size_t, Alignment), size, alignment)
MEMTRACE_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, Alignment alignment, Nothrow tag),
             (size_t, Alignment, Nothrow), size, alignment, tag)
MEMTRACE_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, Alignment alignment, Nothrow tag),
             (size_t, Alignment, Nothrow), size, alignment, tag)

MEMTRACE_DELETE(_ZdlPv, (void* block), (void*), block)
MEMTRACE_DELETE(_ZdaPv, (void* block), (void*), block)
MEMTRACE_DELETE(_ZdlPvm, (void* block, size_t size), (void*, size_t), block, size)
MEMTRACE_DELETE(_ZdaPvm, (void* block, size_t size), (void*, size_t), block, size)
MEMTRACE_DELETE(_ZdlPvRKSt9nothrow_t, (void* block, Nothrow tag), (void*, Nothrow), block, tag)
MEMTRACE_DELETE(_ZdaPvRKSt9nothrow_t, (void* block, Nothrow tag), (void*, Nothrow), block, tag)
MEMTRACE_DELETE(_ZdlPvSt11align_val_t, (void* block, Alignment alignment), (void*, Alignment), block, alignment)
MEMTRACE_DELETE(_ZdaPvSt11align_val_t, (void* block, Alignment alignment), (void*, Alignment), block, alignment)
MEMTRACE_DELETE(_ZdlPvmSt11align_val_t, (void* block, size_t size, Alignment alignment), (void*, size_t, Alignment),
                block, size, alignment)
MEMTRACE_DELETE(_ZdaPvmSt11align_val_t, (void* block, size_t size, Alignment alignment), (void*, size_t, Alignment),
                block, size, alignment)
MEMTRACE_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void* block, Alignment alignment, Nothrow tag),
                (void*, Alignment, Nothrow), block, alignment, tag)
MEMTRACE_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void* block, Alignment alignment, Nothrow tag),
                (void*, Alignment, Nothrow), block, alignment, tag)

}  // namespace memtrace::interpose
