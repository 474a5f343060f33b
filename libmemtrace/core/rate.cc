#include "libmemtrace/core/rate.h"

#include <bit>

#include "libmemtrace/core/process.h"
#include "libmemtrace/core/sampler.h"
#include "libmemtrace/core/thread_buffers.h"

namespace memtrace::core {
namespace {

constexpr uint64_t kMinDerivedRate = 32 * 1024;
constexpr uint64_t kMaxDerivedRate = 2 * 1024 * 1024;
constexpr uint64_t kRateWithoutLimit = 512 * 1024;
// Live samples that the container's limit is divided into.
constexpr uint64_t kSamplesPerLimit = 2048;

// The first interval after exact mode: most blocks must be larger than it is worth recording each, so it starts at four
// times the mean block.
uint64_t FirstCoarseRate(uint64_t entries) {
  const uint64_t live = SumLive(g_process.recording).bytes;
  const uint64_t mean = entries == 0 || live == 0 ? 256 : live / entries;
  return std::bit_ceil((mean == 0 ? 1 : mean) * 4);
}

}  // namespace

uint64_t InitialRate() {
  const Process& p = g_process;
  if (p.options.sample != config::Sample::kAuto) return p.options.sample_bytes;
  const uint64_t limit = p.cgroup.limit_bytes;
  if (p.cgroup.version == 0 || limit == format::kUnknown) return kRateWithoutLimit;
  const uint64_t rate = limit / kSamplesPerLimit;
  if (rate < kMinDerivedRate) return kMinDerivedRate;
  return rate > kMaxDerivedRate ? kMaxDerivedRate : rate;
}

bool ChangeRate(uint64_t rate_bytes, format::RateReason reason) {
  Process& p = g_process;
  format::Header& h = p.recording.header();
  if (!p.rate_lock.TryAcquire()) return false;
  const uint32_t next = h.rate_index + 1;
  const bool room = next < format::kRateSlots;
  if (room) {
    h.rates[next] = {rate_bytes, Load(h.work_bytes), rt::NowNanoseconds(rt::Clock::kRealtime),
                     static_cast<uint32_t>(reason), 0};
    Store(h.rate_index, next, std::memory_order_release);
  }
  p.rate_lock.Release();
  return room;
}

void CheckTableRoom(uint64_t entries) {
  Process& p = g_process;
  const uint64_t room = p.live.CapacityLeft();
  if (entries < room - room / 8) return;
  format::Header& h = p.recording.header();
  const uint64_t current = h.rates[Load(h.rate_index)].bytes;
  const uint64_t coarser = current == kExactRate ? FirstCoarseRate(entries) : current * 2;
  if (!ChangeRate(coarser, format::RateReason::kTableFull)) return;
  int64_t bytes = 0;
  int64_t count_q16 = 0;
  uint64_t dropped = 0;
  p.live.Thin(h.rates, Load(h.rate_index), &dropped, &bytes, &count_q16);
  p.live_entries.fetch_sub(dropped, std::memory_order_relaxed);
  Atomic(h.live_bytes).fetch_add(static_cast<uint64_t>(bytes), std::memory_order_relaxed);
  Atomic(h.live_count_q16).fetch_add(static_cast<uint64_t>(count_q16), std::memory_order_relaxed);
}

}  // namespace memtrace::core
