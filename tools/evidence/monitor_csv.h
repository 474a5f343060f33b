// Rows of `memtrace monitor`, and of the scripts that people write around `docker stats`.
#ifndef MEMTRACE_TOOLS_EVIDENCE_MONITOR_CSV_H_
#define MEMTRACE_TOOLS_EVIDENCE_MONITOR_CSV_H_

#include <string>
#include <string_view>
#include <vector>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

class MonitorCsv {
 public:
  MonitorCsv(uint32_t file, Evidence* evidence) : file_(file), evidence_(*evidence) {}
  // A table begins with a header whose first column is a time and one of whose others is memory. Rows may have fewer
  // cells than it has columns: what a cell says by its unit counts more than where it stands.
  bool Take(std::string_view line, uint32_t number);

 private:
  bool TakeRow(std::string_view line, uint32_t number);

  const uint32_t file_;
  Evidence& evidence_;
  std::vector<std::string> columns_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_MONITOR_CSV_H_
