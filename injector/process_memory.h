// The memory of another process, and what /proc says about its layout. The process is not trusted: whatever is read
// from it is only data, every length is bounded here or by the caller.
#ifndef MEMTRACE_INJECTOR_PROCESS_MEMORY_H_
#define MEMTRACE_INJECTOR_PROCESS_MEMORY_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "injector/descriptor.h"

namespace memtrace::injector {

struct RemoteMapping {
  uint64_t start = 0;
  uint64_t end = 0;
  bool executable = false;
  std::string file;  // device:inode, empty without a file; same file, same text
  std::string path;

  bool Contains(uint64_t address) const { return start <= address && address < end; }
};

class ProcessMemory {
 public:
  // Needs the right to trace the process. Test ok().
  explicit ProcessMemory(pid_t pid);

  bool ok() const { return memory_.ok(); }
  int error() const { return error_; }  // why not
  pid_t pid() const { return pid_; }

  // All or nothing. Write also reaches read-only pages, as a debugger's does, and leaves their protection alone.
  bool Read(uint64_t address, void* buffer, size_t size) const;
  bool Write(uint64_t address, const void* data, size_t size) const;

  template <typename T>
  bool ReadObject(uint64_t address, T* object) const {
    return Read(address, object, sizeof(T));
  }
  // Empty where it cannot be read. `count` is bounded to `most`.
  template <typename T>
  std::vector<T> ReadArray(uint64_t address, uint64_t count, uint64_t most) const {
    std::vector<T> array(count < most ? count : most);
    if (!array.empty() && !Read(address, array.data(), array.size() * sizeof(T))) array.clear();
    return array;
  }
  // Up to a NUL, an unreadable page or `most` characters.
  std::string ReadString(uint64_t address, size_t most) const;

  std::vector<RemoteMapping> Mappings() const;
  // The value of an auxiliary vector's entry (AT_...), 0 if there is none.
  uint64_t Auxiliary(uint64_t type) const;

 private:
  pid_t pid_;
  Descriptor memory_;
  int error_;
};

// A small file of /proc, at most 1 MiB of it; empty if it cannot be read.
std::string ReadProcFile(const std::string& path);
// The first word behind `field` (with its colon) in /proc/PID/status; empty if there is none.
std::string StatusField(pid_t pid, const std::string& field);

// What a user who named a process that is not there reads.
std::string NoSuchProcess(const std::string& pid);
// Thread ids of a process; empty when it is gone.
std::vector<pid_t> ThreadsOf(pid_t pid);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_PROCESS_MEMORY_H_
