#include "libmemtrace/core/rate.h"

#include <bit>

#include "libmemtrace/core/process.h"
#include "libmemtrace/core/sampler.h"
#include "libmemtrace/core/thread_buffers.h"

namespace memtrace::core {
namespace {

// About 2,000 samples at the memory limit are wanted, 256 needed: the slow path also looks after the limit.
constexpr uint64_t kSamplesPerLimit = 2048;
constexpr uint64_t kLeastScale = 32 * 1024;
constexpr uint64_t kMostScale = 2 * 1024 * 1024;
constexpr uint64_t kScaleWithoutLimit = 512 * 1024;
constexpr uint64_t kMostOverScale = 8;
// Below this, sampling saves nothing that is worth its uncertainty.
constexpr uint64_t kFinestRate = 64;
// Recorded blocks by which the filter of frees does not suffer: less than half a per cent of its slots.
constexpr uint64_t kFewEntries = 256;

uint64_t CurrentRate() {
  const format::Header& h = g_process.recording.header();
  return h.rates[Load(h.rate_index, std::memory_order_acquire)].bytes;
}

// The first interval after exact recording: most blocks must be larger than it is worth recording each, so it counts
// from the mean block.
uint64_t CoarseRate(uint64_t bytes, uint64_t blocks, uint64_t factor) {
  const uint64_t mean = blocks == 0 || bytes == 0 ? 256 : bytes / blocks;
  const uint64_t rate = std::bit_ceil((mean == 0 ? 1 : mean) * factor);
  return rate < kFinestRate ? kFinestRate : rate;
}

// Drops recorded blocks so that the rest stands as if it had been sampled at the present rate.
void ThinTable() {
  Process& p = g_process;
  format::Header& h = p.recording.header();
  int64_t bytes = 0;
  int64_t count_q16 = 0;
  const auto gone = [](uint64_t address) {
    g_filter.Remove(address);
    g_process.live_entries.fetch_sub(1, std::memory_order_relaxed);
  };
  // Another one each time: blocks that stay once would stay again.
  const uint64_t seed = p.options.seed != 0 ? p.options.seed + Load(h.work_bytes) : rt::RandomSeed();
  p.live.Thin(h.rates, Load(h.rate_index), seed, gone, &bytes, &count_q16);
  Atomic(h.live_bytes).fetch_add(static_cast<uint64_t>(bytes), std::memory_order_relaxed);
  Atomic(h.live_count_q16).fetch_add(static_cast<uint64_t>(count_q16), std::memory_order_relaxed);
}

}  // namespace

uint64_t InitialRate() {
  const config::Options& options = g_process.options;
  return options.sample == config::Sample::kFixed ? options.sample_bytes : kExactRate;
}

uint64_t CoarsestRate() {
  const uint64_t limit = g_process.cgroup.version != 0 ? g_process.cgroup.limit_bytes : format::kUnknown;
  const uint64_t scale = limit == format::kUnknown ? kScaleWithoutLimit : std::bit_ceil(limit / kSamplesPerLimit);
  return kMostOverScale * (scale < kLeastScale ? kLeastScale : scale > kMostScale ? kMostScale : scale);
}

bool ChangeRate(uint64_t rate_bytes, format::RateReason reason) {
  Process& p = g_process;
  format::Header& h = p.recording.header();
  if (!p.rate_lock.TryAcquire()) return false;
  uint32_t index = 0;
  while (index < format::kRateSlots && h.rates[index].bytes != 0 && h.rates[index].bytes != rate_bytes) ++index;
  const bool room = index < format::kRateSlots;
  if (room && h.rates[index].bytes == 0) {
    format::Rate& rate = h.rates[index];
    rate.since_work_bytes = Load(h.work_bytes);
    rate.since_ns = rt::NowNanoseconds(rt::Clock::kRealtime);
    rate.reason = static_cast<uint32_t>(reason);
    Store(rate.bytes, rate_bytes, std::memory_order_release);  // pairs with readers: used slots have a rate
  }
  if (room) Store(h.rate_index, index, std::memory_order_release);
  p.rate_lock.Release();
  return room;
}

bool Coarsen(uint64_t factor) {
  Process& p = g_process;
  const uint64_t current = CurrentRate();
  const uint64_t most = CoarsestRate();
  uint64_t next = std::bit_ceil(current * factor);
  if (current == kExactRate) {
    uint64_t allocations = 0;
    const format::Header& h = p.recording.header();
    for (uint32_t i = 0; i < Load(h.thread_count, std::memory_order_acquire); ++i) {
      allocations += Load(ThreadBufferAt(p.recording, i)->samples);
    }
    next = CoarseRate(Load(h.work_bytes), allocations, factor);
  }
  if (next > most) next = most;
  if (next <= current || !ChangeRate(next, format::RateReason::kBudget)) return false;
  // Blocks from finer times would make frees of others look into the table for as long as they live.
  if (p.live_entries.load(std::memory_order_relaxed) > kFewEntries) ThinTable();
  return true;
}

bool Refine(uint64_t factor) {
  const Process& p = g_process;
  const uint64_t current = CurrentRate();
  if (p.brink || current == kExactRate || factor < 2) return false;
  const LiveSums live = SumLive(p.recording);
  const uint64_t blocks = live.count_q16 >> format::kCountShift;
  const uint64_t room = p.live.CapacityLeft() / 4 * 3;
  const uint64_t divisor = std::bit_floor(factor);
  uint64_t next = divisor < current ? current / divisor : kExactRate;
  // What the program holds now must fit when all of it has been sampled so.
  while (next < current && (live.bytes / (next + 1) < blocks ? live.bytes / (next + 1) : blocks) > room) next *= 2;
  // Few allocations are smaller than a quarter of the finest interval.
  if (next < kFinestRate) next = next > kFinestRate / 4 ? kFinestRate : kExactRate;
  return next < current && ChangeRate(next, format::RateReason::kBudget);
}

void CheckTableRoom(uint64_t entries) {
  Process& p = g_process;
  const uint64_t room = p.live.CapacityLeft();
  if (entries < room - room / 8) return;
  const uint64_t current = CurrentRate();
  const uint64_t coarser =
      current == kExactRate ? CoarseRate(SumLive(p.recording).bytes, entries, 4) : std::bit_ceil(current) * 2;
  if (ChangeRate(coarser, format::RateReason::kTableFull)) ThinTable();
}

}  // namespace memtrace::core
