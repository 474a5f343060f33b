// Answers "is the block at this address perhaps recorded?" for free() with one load: saturating byte counters, keyed
// by a hash of the address, in private memory. Never says no for a recorded block.
#ifndef MEMTRACE_CORE_FILTER_H_
#define MEMTRACE_CORE_FILTER_H_

#include <atomic>
#include <cstdint>

namespace memtrace::core {

class Filter {
 public:
  bool MayHold(const void* pointer) const {
    return counters_[Slot(reinterpret_cast<uintptr_t>(pointer))].load(std::memory_order_relaxed) != 0;
  }
  // Before the block is entered into the live table, and after it was taken out.
  void Add(uintptr_t address) { Change(address, +1); }
  void Remove(uintptr_t address) { Change(address, -1); }
  // From now on every address may be recorded: what exact mode needs, without counting. All addresses share one
  // counter, so that the filter takes no room in the cache.
  void Saturate() {
    counters_[kSlots - 1].store(kSaturated, std::memory_order_relaxed);
    all_slots_.store(kSlots - 1, std::memory_order_relaxed);
  }
  // Every free of this address, and of those that share its slot, is looked at for ever.
  void Pin(uintptr_t address) { counters_[Slot(address)].store(kSaturated, std::memory_order_relaxed); }
  // Forgets all but saturated and pinned slots.
  void Clear() {
    for (std::atomic<uint8_t>& counter : counters_) {
      if (counter.load(std::memory_order_relaxed) != kSaturated) counter.store(0, std::memory_order_relaxed);
    }
  }

 private:
  static constexpr uint32_t kSlots = 64 * 1024;
  static constexpr uint8_t kSaturated = 255;  // sticks: how many it stands for is not known any more

  uint32_t Slot(uintptr_t address) const {
    return static_cast<uint32_t>((address * 0x9e3779b97f4a7c15) >> 48) | all_slots_.load(std::memory_order_relaxed);
  }
  void Change(uintptr_t address, int by) {
    std::atomic<uint8_t>& counter = counters_[Slot(address)];
    uint8_t value = counter.load(std::memory_order_relaxed);
    while (value != kSaturated &&
           !counter.compare_exchange_weak(value, static_cast<uint8_t>(value + by), std::memory_order_relaxed)) {
    }
  }

  std::atomic<uint8_t> counters_[kSlots] = {};
  std::atomic<uint32_t> all_slots_{0};  // the bits of the last one, once all addresses share it
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_FILTER_H_
