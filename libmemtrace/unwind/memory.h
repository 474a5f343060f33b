// Reading bytes that somebody else wrote: unwind tables within a range, stack words within limits.
#ifndef MEMTRACE_UNWIND_MEMORY_H_
#define MEMTRACE_UNWIND_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "libmemtrace/rt/os.h"
#include "libmemtrace/unwind/unwind.h"

namespace memtrace::unwind {

// [begin, end)
struct MemoryRange {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  bool Contains(uintptr_t address) const { return address >= begin && address < end; }
  bool Contains(uintptr_t address, uintptr_t bytes) const {
    return address >= begin && address <= end && bytes <= end - address;
  }
};

// A load that need not be aligned and aliases everything; sanitizers keep out, because other functions'
// frames are what it is for.
template <typename T>
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] T LoadUnaligned(uintptr_t address) {
  struct [[gnu::packed, gnu::may_alias]] Unaligned {
    T value;
  };
  return reinterpret_cast<const Unaligned*>(address)->value;
}

// A cursor that never leaves its range: a read beyond it returns 0, and ok() is false from then on.
class ByteReader {
 public:
  ByteReader(MemoryRange range, uintptr_t position) : position_(position), range_(range), ok_(Inside(position)) {}

  bool ok() const { return ok_; }
  uintptr_t position() const { return position_; }
  bool AtEnd() const { return !ok_ || position_ >= range_.end; }
  MemoryRange range() const { return range_; }

  template <typename T>
  T Read() {
    if (!ok_ || !range_.Contains(position_, sizeof(T))) {
      ok_ = false;
      return T{};
    }
    const T value = LoadUnaligned<T>(position_);
    position_ += sizeof(T);
    return value;
  }
  uint64_t Uleb() { return Leb(false); }
  int64_t Sleb() { return static_cast<int64_t>(Leb(true)); }
  void Skip(uint64_t bytes) { Seek(bytes <= range_.end - position_ ? position_ + bytes : 0); }
  void Seek(uintptr_t position) {
    ok_ = ok_ && Inside(position);
    if (ok_) position_ = position;
  }
  // Nothing beyond `end` is read any more.
  void LimitTo(uintptr_t end) {
    ok_ = ok_ && Inside(end) && end >= position_;
    if (ok_) range_.end = end;
  }

 private:
  bool Inside(uintptr_t position) const { return position >= range_.begin && position <= range_.end; }
  uint64_t Leb(bool is_signed) {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
      byte = Read<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      shift += 7;
    } while ((byte & 0x80) != 0 && ok_);
    if (is_signed && shift < 64 && (byte & 0x40) != 0) value |= ~uint64_t{0} << shift;
    return value;
  }

  uintptr_t position_;
  MemoryRange range_;
  bool ok_;
};

// Words of the stack of one unwind. Inside the limits a read is one comparison and one load; outside,
// the page is probed by a system call, and the limits grow by what was found for as long as this lives.
class StackMemory {
 public:
  explicit StackMemory(const StackLimits& limits) : limits_(limits) {}

  bool Read(uintptr_t address, uintptr_t* value) {
    if (!Covers(address) && !Extend(address)) [[unlikely]]
      return false;
    *value = LoadUnaligned<uintptr_t>(address);
    return true;
  }
  // Read, but trusts no limit: for addresses that are a guess.
  bool ReadProbed(uintptr_t address, uintptr_t* value);

  const StackLimits& limits() const { return limits_; }

 private:
  bool Covers(uintptr_t address) const {
    return address >= limits_.low && address < limits_.high && limits_.high - address >= sizeof(uintptr_t);
  }
  bool Extend(uintptr_t address);

  StackLimits limits_;
};

// Whether `sp` is so close to the end of its stack that only the libc's start code can be running there.
bool IsStackBase(uintptr_t sp);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_MEMORY_H_
