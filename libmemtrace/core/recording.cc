#include "libmemtrace/core/recording.h"

#include <asm/errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "libmemtrace/rt/syscall.h"

namespace memtrace::core {
namespace {

using format::kChunkBytes;
using rt::Address;
using rt::IsError;
using rt::Syscall;

// The file grows by an eighth of its size, at least by this much: few system calls, little waste.
constexpr uint64_t kGrowStepBytes = 4 * kChunkBytes;
constexpr uint64_t kInitialChunks = 7;
// A descriptor out of the way of programs that count on small numbers.
constexpr int kWantedDescriptor = 704;
// Left to the program out of RLIMIT_MEMLOCK.
constexpr uint64_t kLockReserveBytes = 64 * 1024;

constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

// Where RLIMIT_NOFILE is lower, half the number is tried, and so on.
int MoveAside(int fd) {
  for (int wanted = kWantedDescriptor; wanted > fd; wanted /= 2) {
    const long moved = Syscall(__NR_fcntl, fd, F_DUPFD_CLOEXEC, wanted);
    if (IsError(moved)) continue;
    rt::Close(fd);
    return static_cast<int>(moved);
  }
  return fd;
}

// Backs [from, to) of the file with blocks. Where the file system cannot reserve, zeroes are written:
// a store into a hole on a full disk would be a SIGBUS in the program.
bool Reserve(int fd, uint64_t from, uint64_t to) {
  if (to > rt::SoftLimit(rt::Limit::kFileSize)) return false;  // growing beyond it would send SIGXFSZ
  const long result = Syscall(__NR_fallocate, fd, 0, static_cast<long>(from), static_cast<long>(to - from));
  if (!IsError(result)) return true;
  if (result != -EOPNOTSUPP && result != -ENOSYS) return false;
  static constexpr uint8_t kZeroes[4096] = {};
  for (uint64_t at = from; at < to; at += sizeof(kZeroes)) {
    if (Syscall(__NR_pwrite64, fd, Address(kZeroes), sizeof(kZeroes), static_cast<long>(at)) != sizeof(kZeroes)) {
      return false;
    }
  }
  return true;
}

// Where the recording is mapped: far from where the kernel, the loader and other tools put things, so that the file can
// grow in place without reserving what it may never need. Programs may limit their address space.
uint8_t* RemoteAddress() {
  constexpr uintptr_t kBegin = uintptr_t{0x3000} << 32;
  constexpr uintptr_t kSpread = uintptr_t{0xfff} << 32;
  return reinterpret_cast<uint8_t*>(kBegin + (rt::RandomSeed() & kSpread));
}

}  // namespace

int Recording::Create(const char* directory, uint64_t max_bytes) {
  rt::TextBuilder(directory_, sizeof(directory_)).Add(directory);
  rt::TextBuilder(path_, sizeof(path_))
      .Add(directory)
      .Add("/.memtrace-")
      .AddUint(static_cast<uint64_t>(rt::ProcessId()))
      .Add('-')
      .AddUint(rt::NowNanoseconds(rt::Clock::kMonotonic), 16);
  const int fd = rt::Open(path_, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (fd < 0) return fd;
  fd_ = MoveAside(fd);

  max_bytes_ = RoundUp(max_bytes, kChunkBytes);
  max_chunks_ = static_cast<uint32_t>(max_bytes_ / kChunkBytes);
  chunk_limit_.store(max_chunks_, std::memory_order_relaxed);
  constexpr uint64_t kTimelineOffset = 4096;
  constexpr uint32_t kTimelinePoints = 512;
  const uint64_t directory_offset = kTimelineOffset + kTimelinePoints * sizeof(format::TimelinePoint);
  const uint64_t front = RoundUp(directory_offset + max_chunks_ * sizeof(uint32_t), kChunkBytes);

  max_bytes_ += front;
  const uint64_t initial = front + kInitialChunks * kChunkBytes;
  table_bytes_ = RoundUp(uint64_t{format::kChunkKinds} * max_chunks_ * sizeof(uint16_t), rt::PageBytes());
  table_ = static_cast<uint16_t*>(rt::MapAnonymous(table_bytes_));
  lock_limit_ = rt::SoftLimit(rt::Limit::kLockedMemory);
  if (table_ == nullptr || !rt::Identify(fd_, &identity_)) return -ENOMEM;
  base_ = RemoteAddress();
  if (!Grow(initial)) {
    // Other address space layouts (39 bits on arm64): a reservation, which counts against RLIMIT_AS.
    reservation_ = rt::Map(nullptr, max_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    base_ = static_cast<uint8_t*>(reservation_);
    if (base_ == nullptr) return -ENOMEM;
    Syscall(__NR_madvise, Address(base_), static_cast<long>(max_bytes_), MADV_DONTFORK);
    if (!Grow(initial)) {
      rt::Unmap(reservation_, max_bytes_);
      base_ = nullptr;
      return -ENOSPC;
    }
  }
  chunks_ = base_ + front;

  format::Header& h = header();
  for (size_t i = 0; i < sizeof(h.magic); ++i) h.magic[i] = format::kMagic[i];
  h.version = format::kVersion;
  h.header_bytes = sizeof(format::Header);
  h.front_bytes = front;
  h.chunk_bytes = kChunkBytes;
  h.max_chunks = max_chunks_;
  h.timeline_capacity = kTimelinePoints;
  h.directory_offset = directory_offset;
  h.timeline_offset = kTimelineOffset;
  h.thread_buffer_bytes = format::kThreadBufferBytes;
  h.page_bytes = static_cast<uint32_t>(rt::PageBytes());
  h.state = static_cast<uint32_t>(format::State::kRunning);
  return 0;
}

int Recording::Publish(const char* name) {
  char wanted[sizeof(path_)];
  rt::TextBuilder(wanted, sizeof(wanted)).Add(directory_).Add('/').Add(name);
  const int result = rt::RenameNoReplace(path_, wanted);
  if (result != 0) return result;
  rt::TextBuilder(path_, sizeof(path_)).Add(wanted);
  return 0;
}

void Recording::Remove() {
  rt::FileIdentity at_path;
  if (rt::IdentifyPath(path_, &at_path) && at_path == identity_) rt::Unlink(path_);
}

void Recording::Close() {
  if (reservation_ != nullptr) {
    rt::Unmap(reservation_, max_bytes_);
  } else if (base_ != nullptr) {
    rt::Unmap(base_, file_bytes());
  }
  ForgetInChild();
}

bool Recording::MapParents() {
  const int fd = UsableDescriptor();
  return fd >= 0 && rt::Map(base_, file_bytes(), PROT_READ, MAP_SHARED | MAP_FIXED, fd) == base_;
}

void Recording::ForgetInChild() {
  rt::FileIdentity open_file;
  if (fd_ >= 0 && rt::Identify(fd_, &open_file) && open_file == identity_) rt::Close(fd_);
  if (table_ != nullptr) rt::Unmap(table_, table_bytes_);
  base_ = nullptr;
  reservation_ = nullptr;
  chunks_ = nullptr;
  table_ = nullptr;
  fd_ = -1;
  locked_bytes_.store(0, std::memory_order_relaxed);
  read_advice_.store(MADV_NORMAL, std::memory_order_relaxed);
  file_bytes_.store(0, std::memory_order_relaxed);
  for (std::atomic<uint32_t>& count : counts_) count.store(0, std::memory_order_relaxed);
  grow_lock_.Reset();
}

int Recording::UsableDescriptor() {
  rt::FileIdentity now;
  if (fd_ >= 0 && rt::Identify(fd_, &now) && now == identity_) return fd_;
  // The program closed all descriptors, or took the number for a file of its own.
  const int fd = rt::Open(path_, O_RDWR | O_NOFOLLOW);
  fd_ = fd < 0 ? -1 : MoveAside(fd);
  if (fd_ >= 0 && rt::Identify(fd_, &now) && now == identity_) return fd_;
  if (fd_ >= 0) rt::Close(fd_);
  fd_ = -1;
  return -1;
}

void Recording::LockTail(uint64_t from, uint64_t to) {
  if (from != locked_bytes()) return;  // a hole before: locking went as far as it could
  constexpr int kMlockOnFault = 1;
  const uint64_t room = lock_limit_ > kLockReserveBytes ? lock_limit_ - kLockReserveBytes : 0;
  // Privileged processes are not limited: try all of it first, then what the limit leaves.
  for (const uint64_t end : {to, room < to ? room / kChunkBytes * kChunkBytes : to}) {
    if (end <= from) continue;
    if (!IsError(Syscall(__NR_mlock2, Address(base_ + from), static_cast<long>(end - from), kMlockOnFault))) {
      locked_bytes_.store(end, std::memory_order_relaxed);
      return;
    }
  }
}

bool Recording::MapTail(uint64_t from, uint64_t to) {
  const int fd = UsableDescriptor();
  if (fd < 0 || !Reserve(fd, from, to)) return false;
  constexpr int kFixedNoReplace = 0x100000;  // Linux 4.17; a mere hint before
  const int fixed = reservation_ != nullptr ? MAP_FIXED : kFixedNoReplace;
  void* mapped = rt::Map(base_ + from, to - from, PROT_READ | PROT_WRITE, MAP_SHARED | fixed, fd, from);
  if (mapped != nullptr && mapped != base_ + from) {
    rt::Unmap(mapped, to - from);
    mapped = nullptr;
  }
  if (mapped == nullptr) return false;
  for (const int advice : {MADV_DONTFORK, read_advice_.load(std::memory_order_relaxed)}) {
    Syscall(__NR_madvise, Address(mapped), static_cast<long>(to - from), advice);
  }
  LockTail(from, to);
  return true;
}

bool Recording::Grow(uint64_t bytes) {
  const uint64_t from = file_bytes();
  uint64_t step = from / 8 / kChunkBytes * kChunkBytes;
  if (step < kGrowStepBytes) step = kGrowStepBytes;
  uint64_t to = from + step < bytes ? bytes : from + step;
  if (from == 0) to = bytes;
  // What a program with limited address space does not miss. It may set the limit at any time.
  const uint64_t budget = rt::SoftLimit(rt::Limit::kAddressSpace) / 16;
  const uint64_t most = budget < max_bytes_ ? budget : max_bytes_;
  if (to > most) to = most / kChunkBytes * kChunkBytes;
  if (to < bytes) return false;
  if (!MapTail(from, to)) {
    if (to == bytes || !MapTail(from, bytes)) return false;  // a nearly full disk still has room for less
    to = bytes;
  }
  file_bytes_.store(to, std::memory_order_relaxed);
  return true;
}

void Recording::ReadAround(bool on) {
  const int advice = on ? MADV_NORMAL : MADV_RANDOM;
  read_advice_.store(advice, std::memory_order_relaxed);
  Syscall(__NR_madvise, Address(base_), static_cast<long>(file_bytes()), advice);
}

uint64_t Recording::used_bytes() const {
  return header().front_bytes + uint64_t{Load(header().chunk_count, std::memory_order_acquire)} * kChunkBytes;
}

uint32_t Recording::ChunksLeft() const {
  return chunk_limit_.load(std::memory_order_relaxed) - Load(header().chunk_count);
}

int Recording::AddChunk(format::ChunkKind kind) {
  const rt::LockHolder holder(&grow_lock_);
  if (!holder.held()) return -1;
  format::Header& h = header();
  const uint32_t chunk = h.chunk_count;
  // The last quarter is for live blocks: they are what the recording is for.
  const bool live = kind == format::ChunkKind::kLive || kind == format::ChunkKind::kOverflow;
  const uint32_t limit = chunk_limit_.load(std::memory_order_relaxed);
  if (chunk >= (live ? limit : limit - limit / 4)) return -1;
  const uint64_t end = h.front_bytes + (uint64_t{chunk} + 1) * kChunkBytes;
  if (end > file_bytes() && !Grow(end)) {
    RaiseFlag(format::kFlagGrowthRefused);
    chunk_limit_.store(
        chunk, std::memory_order_relaxed);  // asking again and again would cost the program a system call each time
    return -1;
  }
  const int k = static_cast<int>(kind);
  const uint32_t ordinal = counts_[k].load(std::memory_order_relaxed);
  table_[static_cast<uint32_t>(k) * max_chunks_ + ordinal] = static_cast<uint16_t>(chunk);
  auto* entries = reinterpret_cast<uint32_t*>(base_ + h.directory_offset);
  Store(entries[chunk], format::ChunkEntry(kind, ordinal), std::memory_order_release);
  Store(h.chunk_count, chunk + 1, std::memory_order_release);  // pairs with readers and used_bytes()
  counts_[k].store(ordinal + 1, std::memory_order_release);    // pairs with ChunkCount
  return static_cast<int>(ordinal);
}

void Recording::CountDrop(format::Drop cause, uint64_t events) const {
  Atomic(header().drops[static_cast<int>(cause)]).fetch_add(events, std::memory_order_relaxed);
}

void Recording::RaiseFlag(uint32_t flag) const { Atomic(header().flags).fetch_or(flag, std::memory_order_relaxed); }

}  // namespace memtrace::core
