#include "libmemtrace/core/events.h"

#include "libmemtrace/core/capture.h"
#include "libmemtrace/core/process.h"
#include "libmemtrace/core/rate.h"
#include "libmemtrace/core/sampler.h"
#include "libmemtrace/core/snapshot.h"
#include "libmemtrace/core/thread_buffers.h"
#include "libmemtrace/core/timeline.h"

namespace memtrace::core {

constinit thread_local ThreadState t_state = {};

namespace {

using format::Weight;

// What threads keep to themselves before they add it to the sums of the process.
constexpr uint64_t kWorkStep = 16 * 1024;
constexpr int64_t kLiveStep = 64 * 1024;
constexpr int32_t kEntryStep = 64;
// When the time line is looked at, beside every kWorkStep: so many recorded allocations less one, and large blocks.
constexpr uint64_t kLookMask = 63;
constexpr uint64_t kLargeBytes = 64 * 1024;
// A countdown that is never reached, and that of a thread that looks whether recording goes on.
constexpr int64_t kFar = int64_t{1} << 62;
constexpr int64_t kIdleStep = 1 << 20;

uint64_t WorkNow(const format::ThreadBuffer& buffer) {
  return Load(g_process.recording.header().work_bytes) + buffer.pending_work_bytes;
}

// Returns whether that was a step of the clock that others see.
bool AddWork(format::ThreadBuffer* buffer, uint64_t bytes) {
  const uint64_t pending = buffer->pending_work_bytes + bytes;
  if (pending < kWorkStep) {
    Store(buffer->pending_work_bytes, pending);
    return false;
  }
  Store(buffer->pending_work_bytes, uint64_t{0});
  Atomic(g_process.recording.header().work_bytes).fetch_add(pending, std::memory_order_relaxed);
  return true;
}

bool RaiseTo(uint64_t& word, uint64_t value) {
  uint64_t seen = Load(word);
  while (seen < value) {
    if (Atomic(word).compare_exchange_weak(seen, value, std::memory_order_relaxed)) return true;
  }
  return false;
}

// Adds what one thread has kept to itself to a sum of the process, and raises the sum's peak by the way. Returns
// whether it is a new peak. Sums of threads that have not flushed may be below zero for a moment.
bool Flush(int64_t* pending, int64_t* pending_peak, uint64_t* sum, uint64_t* peak) {
  const int64_t most = *pending_peak > *pending ? *pending_peak : *pending;
  const uint64_t before = Atomic(*sum).fetch_add(static_cast<uint64_t>(*pending), std::memory_order_relaxed);
  Store(*pending, int64_t{0});
  Store(*pending_peak, int64_t{0});
  const auto reached = static_cast<int64_t>(before + static_cast<uint64_t>(most));
  return reached > 0 && RaiseTo(*peak, static_cast<uint64_t>(reached));
}

[[gnu::noinline]] void FlushLive(format::ThreadBuffer* buffer) {
  format::Header& h = g_process.recording.header();
  if (Flush(&buffer->pending_live_bytes, &buffer->pending_peak_bytes, &h.live_bytes, &h.peak_live_bytes)) {
    Atomic(h.peak_epoch).fetch_add(1, std::memory_order_relaxed);
  }
  Flush(&buffer->pending_live_count_q16, &buffer->pending_peak_count_q16, &h.live_count_q16, &h.peak_live_count_q16);
}

// While there is only one thread the peak is followed to the byte; of several, each follows its own part of it.
[[gnu::always_inline]] inline void AddLive(format::ThreadBuffer* buffer, Weight weight) {
  format::Header& h = g_process.recording.header();
  const int64_t pending = buffer->pending_live_bytes + static_cast<int64_t>(weight.bytes);
  const int64_t pending_count = buffer->pending_live_count_q16 + static_cast<int64_t>(weight.count_q16);
  Store(buffer->pending_live_bytes, pending);
  Store(buffer->pending_live_count_q16, pending_count);
  if (Load(h.thread_count) == 1) {
    const uint64_t live = Load(h.live_bytes) + static_cast<uint64_t>(pending);
    const uint64_t count = Load(h.live_count_q16) + static_cast<uint64_t>(pending_count);
    if (live > Load(h.peak_live_bytes)) {
      Store(h.peak_live_bytes, live);
      Store(h.peak_epoch, Load(h.peak_epoch) + 1);
    }
    if (count > Load(h.peak_live_count_q16)) Store(h.peak_live_count_q16, count);
    return;
  }
  if (pending > buffer->pending_peak_bytes) Store(buffer->pending_peak_bytes, pending);
  if (pending_count > buffer->pending_peak_count_q16) Store(buffer->pending_peak_count_q16, pending_count);
  if (pending >= kLiveStep) [[unlikely]]
    FlushLive(buffer);
}

[[gnu::always_inline]] inline void SubtractLive(format::ThreadBuffer* buffer, Weight weight) {
  const int64_t pending = buffer->pending_live_bytes - static_cast<int64_t>(weight.bytes);
  Store(buffer->pending_live_bytes, pending);
  Bump(buffer->pending_live_count_q16, -static_cast<int64_t>(weight.count_q16));
  if (pending <= -kLiveStep && Load(g_process.recording.header().thread_count) != 1) [[unlikely]]
    FlushLive(buffer);
}

[[gnu::noinline]] void FlushEntries(ThreadScratch* scratch) {
  const auto entries = static_cast<uint64_t>(int64_t{scratch->pending_entries});
  const uint64_t total = g_process.live_entries.fetch_add(entries, std::memory_order_relaxed) + entries;
  scratch->pending_entries = 0;
  if (static_cast<int64_t>(total) <= 0) return;
  g_process.live.GrowFor(total);
  CheckTableRoom(total);
}

[[gnu::always_inline]] inline void CountEntry(ThreadScratch* scratch, int32_t by) {
  scratch->pending_entries += by;
  if (static_cast<uint32_t>(scratch->pending_entries + kEntryStep - 1) > 2 * (kEntryStep - 1)) [[unlikely]]
    FlushEntries(scratch);
}

// Sets up the calling thread for the present generation; `charged` bytes are already off its countdown.
bool Attach(ThreadState* thread, int64_t charged) {
  Process& p = g_process;
  thread->generation = p.generation.load(std::memory_order_relaxed);
  thread->last_block = 0;
  const auto tid = static_cast<uint32_t>(rt::ThreadId());
  {
    const rt::LockHolder holder(&p.attach_lock);
    thread->buffer = holder.held() ? ClaimThreadBuffer(&p.recording, tid, p.options.depth) : nullptr;
  }
  if (thread->buffer == nullptr) {
    p.recording.CountDrop(format::Drop::kNoThreadBuffer);
    thread->countdown = kFar;
    thread->countdown_start = kFar;
    return false;
  }
  Scratch(thread->buffer)->state = thread;
  const uint64_t seed = p.options.seed;
  uint64_t* random = &Scratch(thread->buffer)->random;
  *random = rt::Mix(seed != 0 ? seed + p.recording.header().thread_count : rt::RandomSeed()) | 1;
  DrawGap(thread, random, p.recording.header(), Load(p.recording.header().rate_index));
  thread->countdown_start = thread->countdown;
  thread->countdown -= charged;
  return true;
}

void Forget(ThreadState* thread) {
  thread->buffer = nullptr;
  thread->generation = g_process.generation.load(std::memory_order_relaxed);
  thread->countdown = kIdleStep;
  thread->countdown_start = thread->countdown;
}

[[gnu::always_inline]] inline void CountFreedHere(ThreadState* thread, const LiveBlock& block) {
  Process& p = g_process;
  format::ThreadBuffer* buffer = thread->buffer;
  ThreadScratch* scratch = Scratch(buffer);
  const Weight weight = format::WeightOf(block.size, p.recording.header().rates[block.rate].bytes);
  const uint64_t birth = format::DecodeBirth(block.birth);
  const uint64_t now = WorkNow(*buffer);
  const bool temporary = thread->last_block == block.address && thread->last_countdown == thread->countdown;
  p.sites.CountFree(scratch->index, &scratch->sites, block.node, weight, now > birth ? now - birth : 0, temporary);
  if (temporary) {
    thread->last_block = 0;
    Bump(buffer->temporary_count_q16, weight.count_q16);
  }
  Bump(buffer->free_count_q16, weight.count_q16);
  Bump(buffer->free_bytes, weight.bytes);
  SubtractLive(buffer, weight);
  CountEntry(scratch, -1);
}

void CountFreed(ThreadState* thread, const LiveBlock& block) { CountFreedHere(thread, block); }

[[gnu::always_inline]] inline bool TakeOut(uint64_t address, LiveBlock* block) {
  if (!g_process.live.Take(g_process.live.Locate(address), address, block)) return false;
  g_filter.Remove(address);
  return true;
}

// `homes`: where LiveTable::Locate puts the address of `block`; `work`: the clock.
[[gnu::always_inline]] inline void Enter(ThreadState* thread, const LiveTable::Homes& homes, const LiveBlock& block,
                                         uint64_t work) {
  Process& p = g_process;
  format::ThreadBuffer* buffer = thread->buffer;
  g_filter.Add(block.address);
  LiveBlock replaced;
  if (!p.live.Insert(homes, block, &replaced)) [[unlikely]] {
    g_filter.Remove(block.address);
    Bump(buffer->dropped_allocations, uint64_t{1});
    return;
  }
  if (replaced.address != 0) [[unlikely]] {
    g_filter.Remove(block.address);
    CountFreed(thread, replaced);
  }
  ThreadScratch* scratch = Scratch(buffer);
  const Weight weight = format::WeightOf(block.size, p.recording.header().rates[block.rate].bytes);
  p.sites.CountAllocation(scratch->index, &scratch->sites, block.node, weight, work);
  Bump(buffer->alloc_count_q16, weight.count_q16);
  Bump(buffer->alloc_bytes, weight.bytes);
  Bump(buffer->samples, uint64_t{1});
  AddLive(buffer, weight);
  CountEntry(scratch, +1);
}

// The stay of a thread in the slow path. While it lasts, signal handlers of the thread find in_memtrace set.
class Stay {
 public:
  explicit Stay(int64_t charged) : thread_(&t_state) {
    thread_->in_memtrace = 1;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const Process& p = g_process;
    const bool settled = p.mode.load(std::memory_order_acquire) == Mode::kOn && !InForkedChild() &&
                         thread_->generation == p.generation.load(std::memory_order_relaxed);
    if (!settled) [[unlikely]]
      Settle(charged);
    if (idle()) return;
    begin_ticks_ = BeginStay(&Scratch(thread_->buffer)->meter);
    WorkOff();  // what came after the last stay had looked: the block that is freed now may be waiting
  }
  ~Stay() {
    if (!idle()) WorkOff();
    if (begin_ticks_ != 0) [[unlikely]]
      EndStay(&Scratch(thread_->buffer)->meter, begin_ticks_);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    thread_->in_memtrace = 0;
    if (thread_->snapshot_wanted != 0) [[unlikely]] {
      thread_->snapshot_wanted = 0;
      TakeSnapshot(format::Trigger::kSignal, 0);
    }
  }
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;

  // Nothing may be recorded for this thread.
  bool idle() const { return thread_->buffer == nullptr; }
  ThreadState* thread() const { return thread_; }

 private:
  [[gnu::noinline]] void Settle(int64_t charged) {
    Process& p = g_process;
    if (p.mode.load(std::memory_order_acquire) != Mode::kOff) FollowForkAndRequest();
    if (p.mode.load(std::memory_order_acquire) != Mode::kOn || p.bypassed()) {
      Forget(thread_);
    } else if (thread_->generation != p.generation.load(std::memory_order_relaxed)) {
      Attach(thread_, charged);
    }
  }

  void WorkOff() {
    if (Load(thread_->buffer->deferred_count) != 0) [[unlikely]]
      WorkOffAll();
  }

  [[gnu::noinline]] void WorkOffAll() {
    const format::DeferredEvent* events = DeferredEvents(thread_->buffer);
    // A handler may add one more after each look, also after the last: the count goes back to zero only if it is what
    // was worked off.
    uint32_t done = 0;
    uint32_t count = Load(thread_->buffer->deferred_count);
    while (done < count) {
      for (; done < count; ++done) WorkOff(events[done]);
      Atomic(thread_->buffer->deferred_count).compare_exchange_strong(count, 0, std::memory_order_relaxed);
    }
  }

  void WorkOff(const format::DeferredEvent& event) {
    if (event.size != format::kUnknown) {
      const uint64_t work = WorkNow(*thread_->buffer);
      Enter(thread_, g_process.live.Locate(event.address),
            {event.address, event.size, format::kUnknownSite, format::EncodeBirth(work), 0}, work);
      return;
    }
    LiveBlock block;
    if (TakeOut(event.address, &block)) CountFreed(thread_, block);
    g_process.surroundings.release(reinterpret_cast<void*>(event.address));
  }

  ThreadState* thread_;
  uint64_t begin_ticks_ = 0;  // 0: not measured
};

bool Defer(uint64_t address, uint64_t size) {
  format::ThreadBuffer* buffer = t_state.buffer;
  const Process& p = g_process;
  if (buffer == nullptr || p.mode.load(std::memory_order_acquire) != Mode::kOn || InForkedChild()) return false;
  if (t_state.generation != p.generation.load(std::memory_order_relaxed)) return false;
  const uint32_t index = buffer->deferred_count;
  if (index >= format::kDeferredEvents) {
    Bump(size == format::kUnknown ? buffer->dropped_frees : buffer->dropped_allocations, uint64_t{1});
    p.recording.CountDrop(format::Drop::kReentered);
    return false;
  }
  DeferredEvents(buffer)[index] = {address, size, 0, 0};
  Store(buffer->deferred_count, index + 1, std::memory_order_release);
  return true;
}

}  // namespace

void Allocated(void* block, size_t size, const unwind::Registers& caller) {
  const auto charged = static_cast<int64_t>(size == 0 ? 1 : size);
  const Stay stay(charged);
  ThreadState* thread = stay.thread();
  if (stay.idle()) return;
  Process& p = g_process;
  format::ThreadBuffer* buffer = thread->buffer;
  const format::Header& h = p.recording.header();
  if (block == nullptr) thread->countdown += charged;
  const bool step = AddWork(buffer, static_cast<uint64_t>(thread->countdown_start - thread->countdown));
  uint32_t rate = 0;
  const uint32_t current = Load(h.rate_index, std::memory_order_acquire);
  const bool record = block != nullptr && TakeSample(thread, &Scratch(buffer)->random, h, size, current, &rate);
  thread->countdown_start = thread->countdown;
  if (record) {
    const auto address = reinterpret_cast<uint64_t>(block);
    const LiveTable::Homes homes = p.live.Locate(address);
    const uint32_t node = CaptureStack(caller, Scratch(buffer));
    const uint64_t work = WorkNow(*buffer);
    Enter(thread, homes, {address, size, node, format::EncodeBirth(work), rate}, work);
    thread->last_block = address;
    thread->last_countdown = thread->countdown;
  }
  Bump(buffer->slow_path_calls, uint64_t{1});
  if (step || (buffer->slow_path_calls & kLookMask) == 0 || size >= kLargeBytes) [[unlikely]]
    CheckTimeline(*buffer);
}

void Freed(void* block) {
  // The allocator will look at the block and at what lies in front of it: that may come while the table is searched.
  __builtin_prefetch(block, 1);
  __builtin_prefetch(static_cast<char*>(block) - 1, 1);
  const Stay stay(0);
  LiveBlock taken;
  if (stay.idle() && g_process.mode.load(std::memory_order_acquire) != Mode::kOn) return;
  if (!TakeOut(reinterpret_cast<uint64_t>(block), &taken)) return;
  if (stay.idle()) {  // a thread without a buffer still must not leave a block behind
    g_process.recording.CountDrop(format::Drop::kNoThreadBuffer);
    return;
  }
  CountFreedHere(stay.thread(), taken);
}

bool TakeForReallocation(void* block, LiveBlock* taken) {
  const Stay stay(0);
  return !stay.idle() && TakeOut(reinterpret_cast<uint64_t>(block), taken);
}

void CountReallocated(const LiveBlock& taken) {
  const Stay stay(0);
  if (!stay.idle()) CountFreed(stay.thread(), taken);
}

void PutBack(const LiveBlock& taken) {
  const Stay stay(0);
  if (stay.idle()) return;
  LiveBlock replaced;
  g_filter.Add(taken.address);
  g_process.live.Insert(taken, &replaced);
}

bool DeferAllocation(void* block, size_t size) {
  if (t_state.countdown_start != 0) return true;  // sampled: one event that nobody would have drawn
  return Defer(reinterpret_cast<uint64_t>(block), size);
}

bool DeferFree(void* block) { return Defer(reinterpret_cast<uint64_t>(block), format::kUnknown); }

}  // namespace memtrace::core
