// Where the files of a process or container come from. Nothing in there is trusted.
#ifndef MEMTRACE_INJECTOR_COLLECT_SOURCE_H_
#define MEMTRACE_INJECTOR_COLLECT_SOURCE_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace memtrace::injector {

struct Copied {
  int count = 0;
  int error = 0;  // an error number, of one that was wanted and could not be copied whole; there is nothing of it
};

class Source {
 public:
  virtual ~Source() = default;
  // Copies the regular file at `path`, links followed inside of the container only, to a new file. 0 or an error
  // number.
  virtual int CopyFile(const std::string& path, const std::string& to, uint64_t most_bytes) = 0;
  // Copies those regular files of a directory that `wants` for their names into `to`; at most `most_bytes` in all.
  virtual Copied CopyFiles(const std::string& directory, const std::function<bool(const std::string&)>& wants,
                           const std::string& to, uint64_t most_bytes) = 0;
};

// The root directory of a running process.
std::unique_ptr<Source> SourceOfProcess(pid_t pid);
// A container, running or dead, through `docker cp` or `podman cp`.
std::unique_ptr<Source> SourceOfContainer(const std::string& runtime, const std::string& name);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_COLLECT_SOURCE_H_
