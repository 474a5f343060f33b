#include "libmemtrace/core/timeline.h"

#include <fcntl.h>

#include "libmemtrace/core/footprint.h"
#include "libmemtrace/core/lost_blocks.h"
#include "libmemtrace/core/process.h"
#include "libmemtrace/core/rate.h"
#include "libmemtrace/core/snapshot.h"
#include "libmemtrace/core/thread_buffers.h"

namespace memtrace::core {
namespace {

using format::kUnknown;
using format::TimelinePoint;

constexpr uint64_t kTickNs = 250'000'000;
// Near the limit, where a threshold may be next.
constexpr uint64_t kNearTickNs = 25'000'000;
// The clock is a system call: between two looks at it the processor's counter will do.
constexpr uint64_t kLookNs = 1'000'000;
constexpr uint64_t kTicksPerLimit = 64;
// In per cent of the limit. Near the limit the kernel reclaims the recording's own pages in a circle instead of
// killing: new blocks are then sampled coarsely unless the pages are locked.
constexpr uint64_t kBrinkPercent = 95;
constexpr uint64_t kOffBrinkPercent = 90;
constexpr uint64_t kBrinkRate = 64 * 1024;
// memory.stat costs ten times a plain counter; below this share of the limit it decides nothing.
constexpr uint64_t kStatPercent = 70;

uint64_t LiveBytes() { return Load(g_process.recording.header().live_bytes); }

uint64_t ResidentBytes() {
  char buffer[128];
  rt::Text statm = rt::ReadFile("/proc/self/statm", buffer, sizeof(buffer));
  rt::NextWord(&statm);
  uint64_t pages;
  return rt::ParseUint(rt::NextWord(&statm), &pages) ? pages * rt::PageBytes() : kUnknown;
}

// Where the next point goes. When all slots are taken every second point is kept, and from then on every second of
// those that would have been: so they spread evenly over the life of the process. The newest is always there: one that
// is not to be kept gives its slot to the next. A reader may see points twice, or miss one, meanwhile.
TimelinePoint* NextSlot(const format::Header& h, TimelinePoint* points) {
  TimelineSlots& slots = g_process.timeline;
  if (points[0].time_ns == 0) slots = {};  // a new recording
  const bool newest_is_kept = slots.points == 0 || (slots.points - 1) % slots.stride == 0;
  ++slots.points;
  if (!newest_is_kept) {
    Store(points[slots.used - 1].time_ns, uint64_t{0});
    return &points[slots.used - 1];
  }
  if (slots.used == h.timeline_capacity) {
    slots.used /= 2;
    slots.stride *= 2;
    for (uint32_t i = 1; i < h.timeline_capacity; ++i) {
      Store(points[i].time_ns, uint64_t{0});
      if (i < slots.used) points[i] = points[2 * i];
    }
  }
  return &points[slots.used++];
}

void WatchThresholds(uint64_t percent) {
  Process& p = g_process;
  for (int i = p.options.snapshot_percent_count - 1; i >= 0; --i) {
    if (percent < p.options.snapshot_percents[i]) continue;
    const uint32_t bits = (2u << i) - 1;  // a jump over several thresholds is one snapshot
    const uint32_t before = p.thresholds_taken.fetch_or(bits, std::memory_order_relaxed);
    if ((before & (1u << i)) == 0) TakeSnapshot(format::Trigger::kThreshold, p.options.snapshot_percents[i]);
    return;
  }
}

// The working set takes the recording's own pages for easy prey, which is what must not come true.
void WatchBrink(const rt::MemoryUse& use, uint64_t working_set_bytes) {
  Process& p = g_process;
  format::Header& h = p.recording.header();
  const uint64_t with_ours = working_set_bytes + p.recording.unlocked_bytes();
  const uint64_t percent = (with_ours < use.usage_bytes ? with_ours : use.usage_bytes) / (use.limit_bytes / 100);
  if (!p.brink && percent >= kBrinkPercent && !p.recording.fully_locked()) {
    const uint64_t current = h.rates[Load(h.rate_index)].bytes;
    p.brink = true;
    p.rate_before_brink = current;
    if (h.brink_since_ns == 0) h.brink_since_ns = rt::NowNanoseconds(rt::Clock::kRealtime);
    p.recording.ReadAround(false);
    if (current < kBrinkRate) ChangeRate(kBrinkRate, format::RateReason::kBrink);
  } else if (p.brink && percent < kOffBrinkPercent) {
    p.brink = false;
    p.recording.ReadAround(true);
    if (h.rates[Load(h.rate_index)].bytes == kBrinkRate && p.rate_before_brink < kBrinkRate) {
      ChangeRate(p.rate_before_brink, format::RateReason::kBrink);
    }
  }
}

rt::MemoryUse ReadUse() {
  rt::MemoryUse use;
  const rt::Cgroup& cgroup = g_process.cgroup;
  if (cgroup.version == 0 || !rt::ReadMemoryUse(cgroup, false, &use)) return use;
  const bool limited = use.limit_bytes != kUnknown && use.limit_bytes > 0;
  if (!limited || use.usage_bytes / 100 < use.limit_bytes / 10000 * kStatPercent) return use;
  rt::ReadMemoryUse(cgroup, true, &use);
  return use;
}

void StorePoint(const rt::MemoryUse& use) {
  Process& p = g_process;
  if (!p.timeline_lock.TryAcquire()) return;  // a signal handler in the middle of another point
  format::Header& h = p.recording.header();
  auto* points = reinterpret_cast<TimelinePoint*>(const_cast<uint8_t*>(p.recording.data()) + h.timeline_offset);
  const uint64_t now = rt::NowNanoseconds(rt::Clock::kRealtime);
  Store(h.last_event_ns, now);
  Store(h.private_bytes, OwnBytes());
  TimelinePoint* point = NextSlot(h, points);
  point->work_bytes = Load(h.work_bytes);
  const LiveSums live = SumLive(p.recording);
  point->live_bytes = live.bytes;
  point->live_blocks = live.count_q16 >> format::kCountShift;
  point->cgroup_usage_bytes = use.usage_bytes;
  point->cgroup_working_set_bytes = use.WorkingSetBytes();
  point->cgroup_limit_bytes = use.limit_bytes;
  point->rss_bytes = ResidentBytes();
  Store(point->time_ns, now, std::memory_order_release);
  p.timeline_lock.Release();
}

}  // namespace

void RecordPoint() { StorePoint(ReadUse()); }

void CheckTimeline(const format::ThreadBuffer& buffer) {
  Process& p = g_process;
  const uint64_t live = LiveBytes() + static_cast<uint64_t>(buffer.pending_live_bytes);
  const bool grown = static_cast<int64_t>(live - p.next_tick_live_bytes.load(std::memory_order_relaxed)) >= 0;
  if (Load(p.recording.header().wanted) == static_cast<uint32_t>(format::Wanted::kStop)) {
    StopRecording();
    return;
  }
  if (Load(p.recording.header().look_wanted) != 0) TakeSnapshot(format::Trigger::kRequest, 0);
  const uint64_t now_ticks = rt::ReadTicks();
  if (!grown && now_ticks - p.last_look_ticks.load(std::memory_order_relaxed) < TicksOf(kLookNs)) return;
  p.last_look_ticks.store(now_ticks, std::memory_order_relaxed);
  const uint64_t now = rt::NowNanoseconds(rt::Clock::kMonotonic);
  uint64_t due = p.next_tick_ns.load(std::memory_order_relaxed);
  if (now < due && !grown) return;
  // One thread at a time; the others see a due time far away.
  if (due == kUnknown || !p.next_tick_ns.compare_exchange_strong(due, kUnknown, std::memory_order_acquire)) return;
  if (p.copy.load(std::memory_order_relaxed) != 0) ReapCopy();
  const rt::MemoryUse use = ReadUse();
  StorePoint(use);
  uint64_t tick_ns = kTickNs;
  if (use.limit_bytes != kUnknown && use.limit_bytes >= 100) {
    const uint64_t used = use.CountedBytes();
    if (used != kUnknown &&
        (use.inactive_file_bytes != kUnknown || use.usage_bytes < use.limit_bytes / 100 * kStatPercent)) {
      if (used >= use.limit_bytes / 100 * kStatPercent) tick_ns = kNearTickNs;
      WatchBrink(use, used);
      WatchThresholds(used / (use.limit_bytes / 100));
    }
    p.next_tick_live_bytes.store(live + use.limit_bytes / kTicksPerLimit, std::memory_order_relaxed);
  } else {
    p.next_tick_live_bytes.store(kUnknown >> 1, std::memory_order_relaxed);
  }
  p.next_tick_ns.store(now + tick_ns, std::memory_order_release);
}

}  // namespace memtrace::core
