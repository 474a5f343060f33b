// The kernel's table of tasks that could have been killed. Its columns changed seven times; the header names them.
#ifndef MEMTRACE_TOOLS_EVIDENCE_TASK_TABLE_H_
#define MEMTRACE_TOOLS_EVIDENCE_TASK_TABLE_H_

#include <optional>
#include <string_view>
#include <vector>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

enum class TaskColumn {
  kUid,
  kTgid,
  kTotalVm,
  kRss,
  kRssAnon,
  kRssFile,
  kRssShmem,
  kPgtables,
  kNrPtes,
  kSwapents,
  kAdj,
  kOther,
  kPgtablesOrPtes
};

using TaskColumns = std::vector<TaskColumn>;  // between the pid and the name

// "[ pid ]   uid  tgid total_vm      rss ... name", wherever it begins in the line.
std::optional<TaskColumns> ParseTaskHeader(std::string_view line);

// "[ 4085]     0  4085    17067    16630 ... eat". Without a header (empty `columns`) the number of columns tells the
// kernel. Nothing for anything else; a row that was cut has no name and is nothing.
std::optional<TaskRow> ParseTaskRow(std::string_view line, const TaskColumns& columns);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_TASK_TABLE_H_
