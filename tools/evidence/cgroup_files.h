// The values of a cgroup's files, however they were copied: one table of names for v1 and v2.
#ifndef MEMTRACE_TOOLS_EVIDENCE_CGROUP_FILES_H_
#define MEMTRACE_TOOLS_EVIDENCE_CGROUP_FILES_H_

#include <set>
#include <string>
#include <string_view>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

enum class CgroupFileShape { kUnknown, kValue, kNamed, kPressure };

// "memory.max" is kValue, "memory.stat" kNamed, "memory.swappiness" kUnknown.
CgroupFileShape ShapeOfCgroupFile(std::string_view name);

// The path of the cgroup, "/system.slice/docker-1.scope", from that of a file or directory in it:
// ".../sys/fs/cgroup/memory/system.slice/docker-1.scope/memory.stat". Empty if the path does not show it.
std::string CgroupPathOf(std::string_view path);

// Gathers files into CgroupFiles and hands each on when it is done.
class CgroupCollector {
 public:
  CgroupCollector(uint32_t file, Evidence* evidence) : file_(file), evidence_(*evidence) {}
  ~CgroupCollector() { Finish(); }
  CgroupCollector(const CgroupCollector&) = delete;
  CgroupCollector& operator=(const CgroupCollector&) = delete;

  // A file of `path` (of a cgroup, may be empty) begins at `line`.
  void BeginFile(std::string_view path, std::string_view name, uint32_t line);
  // A line of its content. False if no such file has such a line.
  bool TakeLine(std::string_view line);
  // From now on it is about this cgroup, until another is named.
  void SetPath(std::string_view path);
  void Finish();

 private:
  bool TakeNamed(std::string_view line);
  bool TakePressure(std::string_view line);

  const uint32_t file_;
  Evidence& evidence_;
  CgroupFiles files_;
  std::set<std::string, std::less<>> seen_;
  std::string name_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_CGROUP_FILES_H_
