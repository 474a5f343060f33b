// /proc/self/maps, one reader at a time.
#ifndef MEMTRACE_UNWIND_MAPS_H_
#define MEMTRACE_UNWIND_MAPS_H_

#include <cstdint>

#include "libmemtrace/rt/os.h"
#include "libmemtrace/rt/text.h"
#include "libmemtrace/unwind/memory.h"

namespace memtrace::unwind {

struct Mapping {
  MemoryRange range;
  uint64_t offset = 0;  // in the file
  uint64_t device = 0;
  uint64_t inode = 0;  // 0: no file
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool shared = false;
  rt::Text path;  // as the kernel prints it; holds until the next line is read

  bool SameFile(const Mapping& other) const { return inode != 0 && inode == other.inode && device == other.device; }
};

bool ParseMapping(rt::Text line, Mapping* mapping);

// Holds the lock of this folder for as long as it lives, with all signals of the thread blocked, so that
// the holder is never interrupted by a handler that wants it too. The lock also guards the module table.
// Stack: little; the line buffer is static.
class MapsLock {
 public:
  MapsLock();
  ~MapsLock();
  MapsLock(const MapsLock&) = delete;
  MapsLock& operator=(const MapsLock&) = delete;

  // False when the lock was not free within ten milliseconds: nothing may be done.
  bool held() const { return held_; }
  // For the child of a fork, where the holder may be gone.
  static void Reset();

 private:
  uint64_t old_mask_ = 0;
  bool held_ = false;
};

// The lines of the file, from its start. Requires a held lock; one scan at a time.
class MapsScan {
 public:
  explicit MapsScan(const MapsLock& lock);
  ~MapsScan();
  MapsScan(const MapsScan&) = delete;
  MapsScan& operator=(const MapsScan&) = delete;

  bool ok() const { return reader_->ok(); }
  bool Next(Mapping* mapping);

 private:
  rt::LineReader* reader_;
};

// The run of readable and writable mappings around `address`; empty if it cannot be told.
MemoryRange WritableRunAround(uintptr_t address);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_MAPS_H_
