#include "libmemtrace/core/thread_buffers.h"

#include <asm/errno.h>

#include "libmemtrace/rt/syscall.h"

namespace memtrace::core {
namespace {

// Buffers that a new thread looks at before it asks for one more.
constexpr uint32_t kLooks = 16;

bool IsDead(uint32_t tid) { return rt::Syscall(__NR_tgkill, rt::ProcessId(), static_cast<long>(tid), 0) == -ESRCH; }

size_t ScratchBytes(uint32_t depth) { return sizeof(ThreadScratch) + unwind::RememberedStackBytes(depth); }

bool GiveScratch(format::ThreadBuffer* buffer, uint32_t index, uint32_t tid, uint32_t depth) {
  if (buffer->scratch == 0) {
    void* memory = rt::MapAnonymous(ScratchBytes(depth));
    if (memory == nullptr) return false;
    buffer->scratch = reinterpret_cast<uintptr_t>(memory);
    Scratch(buffer)->index = index;
    Scratch(buffer)->stack.capacity = depth;
  }
  Scratch(buffer)->limits = {};
  Scratch(buffer)->is_main_thread = tid == static_cast<uint32_t>(rt::ProcessId());
  return true;
}

}  // namespace

void ReleaseScratch(const Recording& recording, uint32_t depth) {
  for (uint32_t i = 0; i < Load(recording.header().thread_count); ++i) {
    format::ThreadBuffer* buffer = ThreadBufferAt(recording, i);
    if (buffer->scratch == 0) continue;
    Scratch(buffer)->sites.Release();
    rt::Unmap(Scratch(buffer), ScratchBytes(depth));
    buffer->scratch = 0;
  }
}

format::ThreadBuffer* ThreadBufferAt(const Recording& recording, uint32_t index) {
  constexpr uint32_t kBytes = format::kThreadBufferBytes;
  constexpr auto kPerChunk = static_cast<uint32_t>(format::kChunkBytes / kBytes);
  uint8_t* chunk = recording.Chunk(format::ChunkKind::kThread, index / kPerChunk);
  return reinterpret_cast<format::ThreadBuffer*>(chunk + uint64_t{index % kPerChunk} * kBytes);
}

format::ThreadBuffer* ClaimThreadBuffer(Recording* recording, uint32_t tid, uint32_t depth) {
  format::Header& h = recording->header();
  constexpr auto kPerChunk = static_cast<uint32_t>(format::kChunkBytes / format::kThreadBufferBytes);
  const uint32_t count = h.thread_count;
  const bool can_extend = count < recording->ChunkCount(format::ChunkKind::kThread) * kPerChunk ||
                          recording->AddChunk(format::ChunkKind::kThread) >= 0;
  static std::atomic<uint32_t> hand{0};
  const uint32_t looks = can_extend && count > kLooks ? kLooks : count;
  for (uint32_t i = 0; i < looks; ++i) {
    const uint32_t index = hand.fetch_add(1, std::memory_order_relaxed) % count;
    format::ThreadBuffer* buffer = ThreadBufferAt(*recording, index);
    // A thread with our own id can only be one that died before us.
    if (buffer->owner_tid != tid && !IsDead(buffer->owner_tid)) continue;
    if (!GiveScratch(buffer, index, tid, depth)) return nullptr;
    Store(buffer->owner_tid, tid);
    return buffer;
  }
  if (!can_extend) return nullptr;
  Store(h.thread_count, count + 1, std::memory_order_release);
  format::ThreadBuffer* buffer = ThreadBufferAt(*recording, count);
  if (!GiveScratch(buffer, count, tid, depth)) return nullptr;
  Store(buffer->owner_tid, tid);
  return buffer;
}

LiveSums SumLive(const Recording& recording) {
  const format::Header& h = recording.header();
  uint64_t bytes = Load(h.live_bytes);
  uint64_t count_q16 = Load(h.live_count_q16);
  for (uint32_t i = 0; i < Load(h.thread_count, std::memory_order_acquire); ++i) {
    const format::ThreadBuffer* buffer = ThreadBufferAt(recording, i);
    bytes += static_cast<uint64_t>(Load(buffer->pending_live_bytes));
    count_q16 += static_cast<uint64_t>(Load(buffer->pending_live_count_q16));
  }
  return {static_cast<int64_t>(bytes) > 0 ? bytes : 0, static_cast<int64_t>(count_q16) > 0 ? count_q16 : 0};
}

}  // namespace memtrace::core
