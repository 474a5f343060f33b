// Serves allocations that come before the real functions are known, or while they are being looked up. The blocks are
// good for ever; free() of one does nothing.
#ifndef MEMTRACE_INTERPOSE_BOOTSTRAP_H_
#define MEMTRACE_INTERPOSE_BOOTSTRAP_H_

#include <atomic>
#include <cstddef>

namespace memtrace::interpose {

// Zeroed. `alignment` is a power of two. nullptr when there is no memory.
void* BootstrapAllocate(size_t size, size_t alignment = 16);
extern std::atomic<size_t> g_bootstrap_regions __attribute__((visibility("hidden")));  // most programs have none
bool IsInBootstrapRegion(const void* block);
inline bool IsBootstrap(const void* block) {
  return __builtin_expect(g_bootstrap_regions.load(std::memory_order_acquire) != 0, 0) && IsInBootstrapRegion(block);
}
// Requires IsBootstrap(block).
size_t BootstrapSize(const void* block);

}  // namespace memtrace::interpose

#endif  // MEMTRACE_INTERPOSE_BOOTSTRAP_H_
