// Files of another process's root directory, which may be a container that is not trusted: no path, link or mount in
// there leads out of it, and nothing but regular files and directories is opened.
#ifndef MEMTRACE_INJECTOR_CONTAINER_ROOT_H_
#define MEMTRACE_INJECTOR_CONTAINER_ROOT_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "injector/descriptor.h"

namespace memtrace::injector {

class ContainerRoot {
 public:
  // Of a process, through /proc/PID/root; or any directory. Keeps its own hold of it, also when the process ends.
  static ContainerRoot OfProcess(pid_t pid);
  explicit ContainerRoot(const std::string& directory);

  bool ok() const { return root_.ok(); }

  // For reading. Not ok with errno: EPERM for what is no regular file. A FIFO or a device is never opened.
  Descriptor OpenFile(const std::string& path) const;
  Descriptor OpenDirectory(const std::string& path) const;

 private:
  Descriptor Open(const std::string& path, uint64_t flags) const;

  Descriptor root_;
};

// Opens for reading what an O_PATH descriptor holds, if that is a regular file.
Descriptor OpenHeld(const Descriptor& held);

// Appends to a file at its offset; what is all zero stays a hole, so that a container's sparse file costs no room here.
// EndOfSparse() gives the file its length when all is written. Both return 0 or an error number.
int AppendSparse(const Descriptor& to, const char* data, size_t size);
int EndOfSparse(const Descriptor& to);

// Copies at most `most_bytes` of a regular file to a new file `to` (mode 0600, never through a link, never over another
// file). Returns 0 or an error number; EFBIG: there was more.
int CopyFile(const Descriptor& from, const std::string& to, uint64_t most_bytes);

// Text from elsewhere as it may be shown on a terminal or used in a message: control characters and what is not UTF-8
// as \xNN, at most `most` characters.
std::string Printable(const std::string& text, size_t most = 256);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_CONTAINER_ROOT_H_
