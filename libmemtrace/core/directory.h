// The directory of recordings: where it is, what files are called, and which of them have had their time.
#ifndef MEMTRACE_CORE_DIRECTORY_H_
#define MEMTRACE_CORE_DIRECTORY_H_

#include <cstddef>
#include <cstdint>

#include "libmemtrace/rt/text.h"

namespace memtrace::core {

// Makes `wanted` (mode 1777, as /tmp) or finds it writable; else the same for `wanted`-<uid> (mode 0700). Returns 0
// with the directory in `chosen`, or the negative error number of the first attempt.
int ChooseDirectory(const char* wanted, rt::TextBuilder* chosen);

// <exe>.<pid>.<start>.rec, see docs; of a snapshot there is a number before its ending.
struct FileName {
  rt::Text executable;
  uint64_t pid;
  rt::Text start;
  bool snapshot;
};
bool ParseFileName(rt::Text name, FileName* parsed);

struct Tidying {
  rt::Text executable;  // of this process
  uint32_t keep_files;  // most files of one executable; older ones of ended processes go first
  uint32_t pid;
  uint32_t parent_pid;
  uint64_t start_ticks;  // of this process: the same before and after exec
  uint64_t pid_namespace;
  bool keep_always;
};
struct Found {
  bool parent_is_recorded = false;
};
// Looks through the directory once: closes the recording of the program that this process was before exec (and removes
// it, if it is not worth keeping), and makes room for one more file.
Found TidyDirectory(const char* directory, const Tidying& tidying);

// A process that ends, or becomes another program, keeps its recording if it ever held this much.
inline constexpr uint64_t kWorthKeepingBytes = 1 << 20;

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_DIRECTORY_H_
