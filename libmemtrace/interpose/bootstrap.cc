#include "libmemtrace/interpose/bootstrap.h"

#include <atomic>
#include <cstdint>

#include "libmemtrace/core/process.h"
#include "libmemtrace/rt/os.h"

namespace memtrace::interpose {

constinit std::atomic<size_t> g_bootstrap_regions{0};

namespace {

// Regions in which blocks are laid one behind the other. A region that is full, or too small for a block, is followed
// by another.
struct Region {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> next{0};
  uintptr_t end = 0;
};
constexpr size_t kRegions = 64;
constexpr size_t kRegionBytes = 1 << 20;
constexpr size_t kHeaderBytes = 16;  // in front of each block: its size

Region g_regions[kRegions];
rt::Lock g_region_lock;

void* AllocateIn(Region* region, size_t size, size_t alignment) {
  uintptr_t at = region->next.load(std::memory_order_relaxed);
  for (;;) {
    const uintptr_t block = (at + kHeaderBytes + alignment - 1) & ~(uintptr_t{alignment} - 1);
    if (size > region->end - at || block > region->end - size) return nullptr;
    if (!region->next.compare_exchange_weak(at, block + size, std::memory_order_relaxed)) continue;
    reinterpret_cast<size_t*>(block)[-1] = size;
    return reinterpret_cast<void*>(block);
  }
}

bool AddRegion(size_t bytes) {
  const rt::LockHolder holder(&g_region_lock);
  const size_t count = g_bootstrap_regions.load(std::memory_order_relaxed);
  if (!holder.held() || count == kRegions) return false;
  const size_t wanted = bytes < kRegionBytes ? kRegionBytes : bytes;
  void* memory = rt::MapAnonymous(wanted);
  if (memory == nullptr) return false;
  Region& region = g_regions[count];
  region.end = reinterpret_cast<uintptr_t>(memory) + wanted;
  region.next.store(reinterpret_cast<uintptr_t>(memory), std::memory_order_relaxed);
  region.begin.store(reinterpret_cast<uintptr_t>(memory), std::memory_order_relaxed);
  g_bootstrap_regions.store(count + 1, std::memory_order_release);  // pairs with IsBootstrap
  return true;
}

}  // namespace

void* BootstrapAllocate(size_t size, size_t alignment) {
  constexpr size_t kMostBytes = size_t{1} << 40;
  if (size > kMostBytes || alignment > kMostBytes) return nullptr;
  if (alignment < kHeaderBytes) alignment = kHeaderBytes;
  do {
    for (size_t i = g_bootstrap_regions.load(std::memory_order_acquire); i > 0; --i) {
      void* block = AllocateIn(&g_regions[i - 1], size, alignment);
      if (block == nullptr) continue;
      core::g_filter.Pin(reinterpret_cast<uintptr_t>(block));
      return block;
    }
  } while (AddRegion(size + alignment + kHeaderBytes));
  return nullptr;
}

bool IsInBootstrapRegion(const void* block) {
  const auto address = reinterpret_cast<uintptr_t>(block);
  for (size_t i = g_bootstrap_regions.load(std::memory_order_acquire); i > 0; --i) {
    const Region& region = g_regions[i - 1];
    if (address >= region.begin.load(std::memory_order_relaxed) && address < region.end) return true;
  }
  return false;
}

size_t BootstrapSize(const void* block) { return static_cast<const size_t*>(block)[-1]; }

}  // namespace memtrace::interpose
