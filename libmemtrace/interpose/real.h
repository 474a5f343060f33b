// The functions behind ours: those that the program would have called without the library.
#ifndef MEMTRACE_INTERPOSE_REAL_H_
#define MEMTRACE_INTERPOSE_REAL_H_

#include <signal.h>

#include <cstddef>
#include <cstdint>

#include "libmemtrace/core/process.h"

// The few symbols that this folder gives to the program. Everything else in the library is hidden.
#define MEMTRACE_EXPORT extern "C" __attribute__((visibility("default")))

namespace memtrace::interpose {

struct RealFunctions {
  void* (*malloc)(size_t);
  void (*free)(void*);
  void* (*calloc)(size_t, size_t);
  void* (*realloc)(void*, size_t);
  void* (*reallocarray)(void*, size_t, size_t);
  void* (*memalign)(size_t, size_t);
  int (*posix_memalign)(void**, size_t, size_t);
  void* (*aligned_alloc)(size_t, size_t);
  void* (*valloc)(size_t);
  void* (*pvalloc)(size_t);
  void (*free_sized)(void*, size_t);
  void (*free_aligned_sized)(void*, size_t, size_t);
  size_t (*malloc_usable_size)(void*);
};
// Filled by Begin(); zero before. A function that the program's libraries lack stays zero.
extern RealFunctions g_real __attribute__((visibility("hidden")));

// Finds the real functions and starts the recording, once. Until it is done, and for calls that it makes itself, the
// caller is served by bootstrap.h. Returns whether g_real may be used.
bool Begin();

// Whether the library was loaded into a running program, behind the allocator that the program uses.
bool IsLoadedLate();

// What core::Start wants to know.
core::Surroundings SurroundingsNow();

// Address of the default version of `name` in the modules that come after this library in load order, or, if it was
// loaded late, in any other; 0: none has it. Looks through the loader's list in memory; takes no lock, calls nothing.
uintptr_t FindNext(const char* name);
// True if the module that defines `first` next also defines `second`.
bool NextIsSameModule(const char* first, const char* second);

// Looks `name` up once and remembers it in *slot.
template <typename Function>
Function Resolve(Function* slot, const char* name) {
  if (*slot == nullptr) *slot = reinterpret_cast<Function>(FindNext(name));
  return *slot;
}

}  // namespace memtrace::interpose

#endif  // MEMTRACE_INTERPOSE_REAL_H_
