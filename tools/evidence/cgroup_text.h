// Cgroup files inside of text: grep's FILE:VALUE, head's "==> FILE <==", shell sessions with cat, bare contents.
#ifndef MEMTRACE_TOOLS_EVIDENCE_CGROUP_TEXT_H_
#define MEMTRACE_TOOLS_EVIDENCE_CGROUP_TEXT_H_

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "tools/evidence/cgroup_files.h"

namespace memtrace::tools {

class CgroupText {
 public:
  CgroupText(uint32_t file, Evidence* evidence) : collector_(file, evidence) {}
  bool Take(std::string_view line, uint32_t number);
  void Finish();

 private:
  struct Named {
    std::string path;  // of the cgroup
    std::string name;  // of the file
  };

  bool TakePath(std::string_view line);
  bool TakeGrep(std::string_view line, uint32_t number);
  bool TakeNames(std::string_view line);
  bool TakeExpected(std::string_view line, uint32_t number);
  bool TakeBare(std::string_view line, uint32_t number);
  void FlushRun();

  CgroupCollector collector_;
  std::deque<Named> expected_;    // files whose contents come next
  bool in_content_ = false;       // of the first of them
  bool foreign_ = false;          // what comes is of a file that we do not know, as io.pressure
  std::vector<std::string> run_;  // bare lines of a name and a number, not yet known as those of some file
  uint32_t run_line_ = 0;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_CGROUP_TEXT_H_
