// The names in a directory, without libc.
#ifndef MEMTRACE_RT_DIRECTORY_ENTRIES_H_
#define MEMTRACE_RT_DIRECTORY_ENTRIES_H_

#include <cstdint>

#include "libmemtrace/rt/syscall.h"

namespace memtrace::rt {

// As getdents64 returns it; the name follows `type`.
struct DirectoryEntry {
  uint64_t inode;
  int64_t offset;
  uint16_t bytes;
  uint8_t type;
};
inline constexpr long kEntryNameOffset = 19;

// From where the open directory `fd` stands. Calls `visit` with each name, until it returns something other than 0,
// which is then the result; else 0, or a negative error number. Stack: 4 KiB.
template <typename Visit>
int ForEachEntry(int fd, Visit visit) {
  alignas(DirectoryEntry) char buffer[4096];
  for (;;) {
    const long size = Syscall(__NR_getdents64, fd, Address(buffer), sizeof(buffer));
    if (size <= 0) return static_cast<int>(size);
    for (long at = 0; at < size; at += reinterpret_cast<const DirectoryEntry*>(buffer + at)->bytes) {
      const int result = visit(static_cast<const char*>(buffer + at + kEntryNameOffset));
      if (result != 0) return result;
    }
  }
}

}  // namespace memtrace::rt

#endif  // MEMTRACE_RT_DIRECTORY_ENTRIES_H_
