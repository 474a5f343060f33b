#include "libmemtrace/unwind/libunwind_backend.h"

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/modules.h"

namespace memtrace::unwind {
namespace {

constexpr int kMaxFrames = 512;

}  // namespace

constinit std::atomic<UnwBacktrace> g_unw_backtrace{nullptr};

bool UseLibunwind(UnwBacktrace backtrace) {
  void* trial[4];
  if (backtrace != nullptr && backtrace(trial, 4) <= 0) return false;
  g_unw_backtrace.store(backtrace, std::memory_order_release);
  return true;
}

Unwound UnwindByLibunwind(const Registers& start, Frame* frames, uint32_t capacity) {
  void* addresses[kMaxFrames];
  const int found = g_unw_backtrace.load(std::memory_order_acquire)(addresses, kMaxFrames);
  int first = 0;
  while (first < found && reinterpret_cast<uintptr_t>(addresses[first]) != start.pc) ++first;
  uint32_t count = 0;
  for (int i = first; i < found && count < capacity; ++i) {
    const auto address = reinterpret_cast<uintptr_t>(addresses[i]);
    if (address == 0) break;
    const uintptr_t pc = address - 1;
    frames[count++] = {pc, 0, static_cast<uint16_t>(FindModule(pc)), 0};
  }
  const bool is_whole = count > 0 && found < kMaxFrames && static_cast<uint32_t>(found - first) <= capacity;
  return {count, !is_whole};
}

}  // namespace memtrace::unwind
