#include "libmemtrace/unwind/maps.h"

#include <atomic>
#include <new>

#include "libmemtrace/rt/syscall.h"

namespace memtrace::unwind {
namespace {

constexpr int kSetMask = 2;  // SIG_SETMASK
constexpr int kAttempts = 200;
constexpr uint64_t kPauseNs = 50'000;

constinit std::atomic<bool> g_locked{false};
// Written under the lock only. Static because a handler's stack may have no room for it.
alignas(rt::LineReader) constinit unsigned char g_reader[sizeof(rt::LineReader)] = {};

bool SetSignalMask(uint64_t mask, uint64_t* old_mask) {
  return rt::Syscall(__NR_rt_sigprocmask, kSetMask, rt::Address(&mask), rt::Address(old_mask), sizeof(mask)) == 0;
}

}  // namespace

bool ParseMapping(rt::Text line, Mapping* mapping) {
  rt::Text range = rt::NextWord(&line);
  const rt::Text permissions = rt::NextWord(&line);
  const rt::Text offset = rt::NextWord(&line);
  rt::Text device = rt::NextWord(&line);
  const rt::Text inode = rt::NextWord(&line);
  const rt::Text begin = rt::NextPart(&range, '-');
  const rt::Text major = rt::NextPart(&device, ':');
  uint64_t major_number = 0;
  uint64_t minor_number = 0;
  uint64_t begin_address = 0;
  uint64_t end_address = 0;
  if (!rt::ParseUint(begin, &begin_address, 16) || !rt::ParseUint(range, &end_address, 16) ||
      !rt::ParseUint(offset, &mapping->offset, 16) || !rt::ParseUint(inode, &mapping->inode) ||
      !rt::ParseUint(major, &major_number, 16) || !rt::ParseUint(device, &minor_number, 16) || permissions.size < 4) {
    return false;
  }
  mapping->range = {begin_address, end_address};
  mapping->device = major_number << 32 | minor_number;
  mapping->readable = permissions[0] == 'r';
  mapping->writable = permissions[1] == 'w';
  mapping->executable = permissions[2] == 'x';
  mapping->shared = permissions[3] == 's';
  mapping->path = rt::Trim(line);
  return true;
}

MapsLock::MapsLock() {
  if (!SetSignalMask(~uint64_t{0}, &old_mask_)) return;
  for (int i = 0; i < kAttempts; ++i) {
    held_ = !g_locked.exchange(true, std::memory_order_acquire);
    if (held_) return;
    rt::SleepNanoseconds(kPauseNs);
  }
  SetSignalMask(old_mask_, nullptr);
}

MapsLock::~MapsLock() {
  if (!held_) return;
  g_locked.store(false, std::memory_order_release);
  SetSignalMask(old_mask_, nullptr);
}

void MapsLock::Reset() { g_locked.store(false, std::memory_order_release); }

MapsScan::MapsScan(const MapsLock&) : reader_(new (g_reader) rt::LineReader("/proc/self/maps")) {}

MapsScan::~MapsScan() { reader_->~LineReader(); }

bool MapsScan::Next(Mapping* mapping) {
  rt::Text line;
  while (reader_->Next(&line)) {
    if (ParseMapping(line, mapping)) return true;
  }
  return false;
}

MemoryRange WritableRunAround(uintptr_t address) {
  const MapsLock lock;
  if (!lock.held()) return {};
  MapsScan scan(lock);
  MemoryRange run;
  Mapping mapping;
  while (scan.Next(&mapping)) {
    if (!mapping.readable || !mapping.writable) continue;
    if (mapping.range.begin != run.end) {
      if (run.Contains(address)) return run;
      run = mapping.range;
    }
    run.end = mapping.range.end;
  }
  return run.Contains(address) ? run : MemoryRange();
}

}  // namespace memtrace::unwind
