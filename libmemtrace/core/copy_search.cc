#include "libmemtrace/core/copy_search.h"

#include <fcntl.h>

#include <new>

#include "libmemtrace/core/process.h"
#include "libmemtrace/rt/syscall.h"
#include "libmemtrace/unwind/arch.h"
#include "libmemtrace/unwind/maps.h"

namespace memtrace::core {
namespace {

using format::LookState;
using rt::Address;
using rt::Syscall;
using unwind::MemoryRange;

constexpr uint64_t kMostNs = 60'000'000'000;
constexpr uint64_t kWatchBytes = 16 << 20;
constexpr uint64_t kPagesAtOnce = 512;
// Registers may have been saved there, or a leaf function works there.
constexpr uintptr_t kBelowStackPointer = 256;

uintptr_t RoundUpToPage(uintptr_t address) { return (address + rt::PageBytes() - 1) & ~(rt::PageBytes() - 1); }

// Whether the program's allocations are all there, from the first on.
bool IsComplete(const format::Header& h) {
  bool complete = h.origin == static_cast<uint32_t>(format::Origin::kStart) && !g_process.bypassed();
  for (const format::Rate& rate : h.rates) complete &= rate.bytes <= 1;
  for (const uint64_t drop : h.drops) complete &= drop == 0;
  return complete;
}

// Shared memory without a file, in which a program may keep anything. Files and devices hold no pointers to our heap,
// and reading them may be dear or do something.
bool IsSharedMemory(rt::Text path) {
  for (const rt::Text place : {"/dev/zero", "/dev/shm/", "/memfd:", "/SYSV", "[anon_shmem:"}) {
    if (rt::StartsWith(path, place)) return true;
  }
  return path.empty();
}

bool IsLibc(rt::Text path) {
  const size_t slash = rt::FindLast(path, '/');
  const rt::Text name = slash == rt::kNotFound ? rt::Text() : path.From(slash + 1);
  return rt::StartsWith(name, "libc.so.") || rt::StartsWith(name, "libc-2.");
}

}  // namespace

uint64_t MemoryHeadroom() {
  rt::MemoryUse use;
  const rt::Cgroup& cgroup = g_process.cgroup;
  if (cgroup.version == 0 || !rt::ReadMemoryUse(cgroup, true, &use)) return format::kUnknown;
  if (use.limit_bytes == format::kUnknown) return format::kUnknown;
  const uint64_t used = use.CountedBytes();
  return used < use.limit_bytes ? use.limit_bytes - used : 0;
}

void CopySearch::AddStack(uintptr_t sp, uintptr_t top) { area_.stacks[stacks_++] = {sp, top}; }

bool CopySearch::Gather(uint32_t threads, int caller, uintptr_t sp) {
  const Recording& recording = g_process.recording;
  const format::Header& h = recording.header();
  complete_ = IsComplete(h);
  threads_ = threads;
  AddStack(sp, unwind::arch::ThreadPointer());
  for (uint32_t i = 0; i < threads; ++i) AddStack(area_.threads[i].sp, area_.threads[i].thread_pointer);
  for (uint32_t i = 0; i < h.thread_count && own_ < kMostStoppedThreads; ++i) {
    const format::ThreadBuffer& buffer = *ThreadBufferAt(recording, i);
    if (buffer.scratch == 0) continue;
    const int owner = static_cast<int>(buffer.owner_tid);
    bool alive = owner == caller;
    for (uint32_t j = 0; j < threads && !alive; ++j) alive = area_.threads[j].tid == owner;
    ThreadScratch* scratch = Scratch(&buffer);
    area_.own[own_++] = {scratch, alive};
    if (!alive && scratch->limits.high != 0) AddStack(0, scratch->limits.high);
  }
  for (const format::ChunkKind kind : {format::ChunkKind::kLive, format::ChunkKind::kOverflow}) {
    const uint32_t buckets = kind == format::ChunkKind::kLive ? h.live_buckets : h.overflow_buckets;
    for (uint32_t i = 0; i < buckets; ++i) {
      const uint8_t* chunk = recording.Chunk(kind, i / format::kBucketsPerChunk);
      if (!graph_.Add(reinterpret_cast<const format::LiveBucket*>(chunk)[i % format::kBucketsPerChunk])) return false;
    }
  }
  return true;
}

// What the last allocation of a thread returned, and the stacks that the unwinder remembers. The state of a thread that
// has ended may be gone.
void CopySearch::WipeOwnPointers() {
  const uint64_t bytes = sizeof(ThreadScratch) + unwind::RememberedStackBytes(g_process.options.depth);
  for (uint32_t i = 0; i < own_; ++i) {
    ThreadScratch* scratch = area_.own[i].scratch;
    if (area_.own[i].alive) const_cast<ThreadState*>(scratch->state)->last_block = 0;
    __builtin_memset(static_cast<void*>(scratch), 0, bytes);
  }
}

bool CopySearch::ReadMappings() {
  rt::LineReader lines("/proc/self/maps");
  rt::Text line;
  uintptr_t unreadable_end = 0;
  while (lines.Next(&line)) {
    unwind::Mapping seen;
    if (!unwind::ParseMapping(line, &seen)) continue;
    if (!seen.readable) unreadable_end = seen.range.end;
    const bool kernels = rt::StartsWith(seen.path, "[v");  // [vvar], [vdso], [vsyscall]
    const bool ours = seen.shared ? !seen.writable || !IsSharedMemory(seen.path) : kernels;
    if (!seen.readable || ours) continue;
    if (mappings_ == kMostMappings) return false;
    Mapping& mapping = area_.mappings[mappings_++];
    mapping = {seen.range, Mapping::kOther, seen.shared, seen.writable, unreadable_end == seen.range.begin};
    if (seen.path == "[stack]") mapping.kind = Mapping::kMainStack;
    if (seen.path == "[heap]") mapping.kind = Mapping::kMainHeap;
    if (IsLibc(seen.path)) mapping.kind = Mapping::kLibc;
  }
  return mappings_ > 0;
}

// What was on a stack before is not a pointer any more: below the stack pointers of the threads that are on it, and all
// of a stack whose thread has ended. glibc and musl keep a thread's control block at the top of its stack and a guard
// below it; a mapping that does not look so counts as a whole.
uintptr_t CopySearch::UsedFrom(const Mapping& mapping) const {
  const bool is_main = mapping.kind == Mapping::kMainStack;
  const MemoryRange& range = mapping.range;
  if (mapping.shared || (!is_main && !mapping.guarded)) return range.begin;
  uintptr_t lowest = range.end;
  uintptr_t ended = range.begin;
  for (uint32_t i = 0; i < stacks_; ++i) {
    const SearchArea::Stack& stack = area_.stacks[i];
    const bool has_sp = range.Contains(stack.sp);
    const bool has_top = range.Contains(stack.top - 1);
    if (stack.sp == 0) {
      if (has_top && !is_main && RoundUpToPage(stack.top) > ended) ended = RoundUpToPage(stack.top);
    } else if (has_sp && (is_main || (has_top && stack.sp < stack.top))) {
      if (stack.sp < lowest) lowest = stack.sp;
    } else if (has_sp || has_top) {
      return range.begin;
    }
  }
  if (lowest == range.end) return ended < range.end ? ended : range.end;
  return lowest - range.begin > kBelowStackPointer ? lowest - kBelowStackPointer : range.begin;
}

// Where glibc's heap, of which we know every block, ends if it begins here; else `from`. Pointers in its free memory
// are of the past. A heap of another arena than the main one begins at a multiple of 64 MiB with struct heap_info: the
// arena, the heap before, its size, and how much of it is readable (malloc/arena.c, since glibc 2.10).
uintptr_t CopySearch::SkipGlibcHeap(const Mapping& mapping, uintptr_t from) {
  constexpr uintptr_t kHeapBytes = uintptr_t{64} << 20;
  if (!complete_ || mapping.shared) return from;
  if (mapping.kind == Mapping::kMainHeap && from == mapping.range.begin) {
    if (!graph_.LooksLikeGlibc(mapping.range, true)) return from;
    main_heap_ = mapping.range;
    return mapping.range.end;
  }
  if (mapping.kind != Mapping::kOther || !mapping.writable || from % kHeapBytes != 0) return from;
  const auto* info = reinterpret_cast<const uint64_t*>(from);
  const uintptr_t end = from + info[3];
  const bool sound = info[3] <= kHeapBytes && info[3] % rt::PageBytes() == 0 && end <= mapping.range.end &&
                     info[2] <= info[3] && info[2] > 0 && info[0] % 8 == 0 && info[1] % kHeapBytes == 0 &&
                     (info[1] != 0 || (info[0] > from && info[0] - from < 256));
  return sound && graph_.LooksLikeGlibc({from, end}, false) ? end : from;
}

bool CopySearch::Continues(uint64_t bytes) {
  unwatched_bytes_ += bytes;
  if (unwatched_bytes_ < kWatchBytes || verdict_ != LookState::kDone) return verdict_ == LookState::kDone;
  unwatched_bytes_ = 0;
  if (rt::NowNanoseconds(rt::Clock::kMonotonic) > deadline_ns_) verdict_ = LookState::kTooLong;
  if (MemoryHeadroom() < least_headroom_) verdict_ = LookState::kNoMemory;
  return verdict_ == LookState::kDone;
}

// Pages that were never touched hold nothing and are not to come to be; pages of a file that nobody has written to hold
// no pointers (Documentation/admin-guide/mm/pagemap.rst: bits 63 present, 62 swapped, 61 of a file).
void CopySearch::FindPresent(const Mapping& mapping, uintptr_t begin, uint64_t pages) {
  const uint64_t page = rt::PageBytes();
  if (mapping.shared) {
    auto* resident = reinterpret_cast<uint8_t*>(area_.page_words);
    const bool known = !rt::IsError(
        Syscall(__NR_mincore, static_cast<long>(begin), static_cast<long>(pages * page), Address(resident)));
    for (uint64_t i = 0; i < pages; ++i) area_.present[i] = known && (resident[i] & 1) != 0;
    return;
  }
  const long size = Syscall(__NR_pread64, pagemap_, Address(area_.page_words), static_cast<long>(pages * 8),
                            static_cast<long>(begin / page * 8));
  for (uint64_t i = 0; i < pages; ++i) {
    const uint64_t word = area_.page_words[i];
    const bool known = size >= static_cast<long>((i + 1) * 8);
    area_.present[i] = known ? (word >> 62 & 1) != 0 || word >> 61 == 4 : pagemap_ < 0 && mapping.writable;
  }
}

// Calls visit() for the runs of pages in `range` that hold something.
template <typename Visit>
void CopySearch::VisitPresent(const Mapping& mapping, MemoryRange range, Visit visit) {
  const uint64_t page = rt::PageBytes();
  for (uintptr_t at = range.begin & ~(page - 1); at < range.end; at += kPagesAtOnce * page) {
    const uint64_t left = (RoundUpToPage(range.end) - at) / page;
    const uint64_t pages = left < kPagesAtOnce ? left : kPagesAtOnce;
    FindPresent(mapping, at, pages);
    uint64_t first = 0;
    for (uint64_t i = 0; i <= pages; ++i) {
      if (i < pages && area_.present[i]) continue;
      const MemoryRange run{at + first * page, at + i * page};
      const MemoryRange part{run.begin < range.begin ? range.begin : run.begin,
                             run.end > range.end ? range.end : run.end};
      if (part.begin < part.end) visit(part);
      first = i + 1;
    }
    if (!Continues(pages * page)) return;
  }
}

void CopySearch::ScanRoots(const Mapping& mapping) {
  uintptr_t from = UsedFrom(mapping);
  if (from == mapping.range.begin) {
    for (uintptr_t end; (end = SkipGlibcHeap(mapping, from)) != from;) from = end;
  }
  const auto area = reinterpret_cast<uintptr_t>(&area_);
  const MemoryRange before{from, area < mapping.range.end ? area : mapping.range.end};
  const MemoryRange after{from > area + area_bytes_ ? from : area + area_bytes_, mapping.range.end};
  graph_.IgnoreChunkEnds(mapping.kind == Mapping::kLibc ? main_heap_ : MemoryRange());
  for (const MemoryRange& part : {before, after}) {
    if (part.begin >= part.end) continue;
    VisitPresent(mapping, part,
                 [&](MemoryRange run) { mapping.shared ? graph_.Scan(run) : graph_.ScanBetweenBlocks(run); });
  }
  graph_.IgnoreChunkEnds({});
}

// A program may have taken the right to read a part of a block away.
void CopySearch::ScanContent(MemoryRange content) {
  constexpr uintptr_t kLarge = 64 * 1024;
  uint32_t low = 0;
  uint32_t high = mappings_;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (area_.mappings[middle].range.end <= content.begin) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (; low < mappings_ && area_.mappings[low].range.begin < content.end; ++low) {
    const Mapping& mapping = area_.mappings[low];
    const MemoryRange& range = mapping.range;
    const MemoryRange part{content.begin > range.begin ? content.begin : range.begin,
                           content.end < range.end ? content.end : range.end};
    if (part.end - part.begin < kLarge && !mapping.shared) {
      graph_.Scan(part);
      Continues(part.end - part.begin);
    } else {
      VisitPresent(mapping, part, [this](MemoryRange run) { graph_.Scan(run); });
    }
  }
}

LookState CopySearch::Run(uint64_t least_headroom) {
  least_headroom_ = least_headroom;
  deadline_ns_ = rt::NowNanoseconds(rt::Clock::kMonotonic) + kMostNs;
  WipeOwnPointers();
  graph_.Index();
  if (!ReadMappings()) return LookState::kUnreadable;
  pagemap_ = rt::Open("/proc/self/pagemap", O_RDONLY);
  for (uint32_t i = 0; i < threads_; ++i) {
    const auto thread = reinterpret_cast<uintptr_t>(&area_.threads[i]);
    graph_.Scan({thread, thread + sizeof(StoppedThread)});
  }
  for (uint32_t i = 0; i < mappings_ && verdict_ == LookState::kDone; ++i) ScanRoots(area_.mappings[i]);
  MemoryRange content;
  while (verdict_ == LookState::kDone && graph_.NextReached(&content)) ScanContent(content);
  return verdict_;
}

}  // namespace memtrace::core
