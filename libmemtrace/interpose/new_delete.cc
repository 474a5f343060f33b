// operator new and delete of C++, in all forms.
//
// Where the next definition comes from a C++ runtime it calls malloc, which is recorded there: ours only pass on. Where
// it comes from the allocator (jemalloc, tcmalloc, mimalloc) it does not, and is recorded here. No guard is held around
// the real call: it may throw, and nothing here could release it.

#include "libmemtrace/interpose/bootstrap.h"
#include "libmemtrace/interpose/record.h"

namespace memtrace::interpose {
namespace {

// What comes after ours. Looked up at each call until a definition is there: a C program may load a C++ library later.
template <typename Function>
struct Next {
  std::atomic<Function*> function{nullptr};
  // The function is the allocator's own. Asked for each form: an allocator may leave some to libstdc++.
  std::atomic<bool> allocates{false};

  Function* Find(const char* name) {
    Function* found = function.load(std::memory_order_acquire);
    if (found != nullptr) return found;
    Begin();
    found = reinterpret_cast<Function*>(FindNext(name));
    if (found == nullptr) return nullptr;
    allocates.store(NextIsSameModule("malloc", name), std::memory_order_relaxed);
    function.store(found, std::memory_order_release);
    return found;
  }
  bool RecordsHere() const { return allocates.load(std::memory_order_relaxed); }
};

template <typename... Arguments>
[[gnu::always_inline]] inline void* New(Next<void*(size_t, Arguments...)>* next, const char* name, Caller caller,
                                        size_t size, Arguments... arguments) {
  auto* real = next->Find(name);
  if (real == nullptr) {
    // No C++ runtime in sight: as good as a nothrow new.
    return g_real.malloc != nullptr ? g_real.malloc(size) : BootstrapAllocate(size);
  }
  if (!next->RecordsHere() || IsNested()) return real(size, arguments...);
  core::ThreadState& thread = core::t_state;
  const int64_t countdown = thread.countdown;
  const uint64_t last_block = thread.last_block;
  thread.last_block = 0;
  void* block = real(size, arguments...);
  // The aligned forms of jemalloc 5 call aligned_alloc, where the block was noted already: one of these two tells, in
  // sampled and in exact mode.
  const bool noted = block != nullptr && thread.last_block == reinterpret_cast<uint64_t>(block);
  if (noted || thread.countdown != countdown) return block;
  thread.last_block = last_block;
  NoteAllocation(block, size, caller);
  return block;
}

template <typename... Arguments>
[[gnu::always_inline]] inline void Delete(Next<void(void*, Arguments...)>* next, const char* name, void* block,
                                          Arguments... arguments) {
  auto* real = next->Find(name);
  if (real != nullptr) {
    if (!next->RecordsHere() || NoteFree(block)) real(block, arguments...);
  } else if (g_real.free != nullptr) {
    g_real.free(block);
  }
}

}  // namespace

using Nothrow = const void*;  // const std::nothrow_t&
using Alignment = size_t;     // std::align_val_t

// MEMTRACE_NEW(function, symbol, (parameters), arguments...): one definition per form.
// NOLINTBEGIN(bugprone-macro-parentheses): `types` is a list
#define MEMTRACE_NEW(symbol, parameters, types, ...)            \
  MEMTRACE_EXPORT void* symbol parameters {                     \
    static constinit Next<void * types> next;                   \
    return New(&next, #symbol, MEMTRACE_CALLER(), __VA_ARGS__); \
  }
// NOLINTEND(bugprone-macro-parentheses)
#define MEMTRACE_DELETE(symbol, parameters, types, ...) \
  MEMTRACE_EXPORT void symbol parameters {              \
    static constinit Next<void types> next;             \
    Delete(&next, #symbol, __VA_ARGS__);                \
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
