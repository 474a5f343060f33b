#include "tools/evidence/task_table.h"

#include <limits>

#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

using Column = TaskColumn;

struct ColumnName {
  std::string_view name;
  Column column;
};
constexpr ColumnName kNames[] = {
    {"uid", Column::kUid},
    {"tgid", Column::kTgid},
    {"total_vm", Column::kTotalVm},
    {"rss", Column::kRss},
    {"rss_anon", Column::kRssAnon},
    {"rss_file", Column::kRssFile},
    {"rss_shmem", Column::kRssShmem},
    {"pgtables_bytes", Column::kPgtables},
    {"nr_ptes", Column::kNrPtes},
    {"swapents", Column::kSwapents},
    {"oom_score_adj", Column::kAdj},
    {"cpu", Column::kOther},
    {"oom_adj", Column::kOther},
    {"nr_pmds", Column::kOther},
    {"nr_puds", Column::kOther},
};

// By the number of columns between pid and name: 6.8; 4.11 to 4.14; 3.19 to 4.10; 3.8 to 6.7 (whose fifth column was
// nr_ptes until 4.14 and pgtables_bytes from 4.15 on); 2.6.x ("cpu oom_adj").
const TaskColumns* ColumnsOfWidth(size_t width) {
  static const TaskColumns k10 = {Column::kUid,      Column::kTgid,    Column::kTotalVm,  Column::kRss,
                                  Column::kRssAnon,  Column::kRssFile, Column::kRssShmem, Column::kPgtables,
                                  Column::kSwapents, Column::kAdj};
  static const TaskColumns k9 = {Column::kUid,   Column::kTgid,  Column::kTotalVm,  Column::kRss, Column::kNrPtes,
                                 Column::kOther, Column::kOther, Column::kSwapents, Column::kAdj};
  static const TaskColumns k8 = {Column::kUid,    Column::kTgid,  Column::kTotalVm,  Column::kRss,
                                 Column::kNrPtes, Column::kOther, Column::kSwapents, Column::kAdj};
  static const TaskColumns k7 = {Column::kUid, Column::kTgid,           Column::kTotalVm,
                                 Column::kRss, Column::kPgtablesOrPtes, Column::kSwapents,
                                 Column::kAdj};
  static const TaskColumns k6 = {Column::kUid, Column::kTgid,  Column::kTotalVm,
                                 Column::kRss, Column::kOther, Column::kOther};
  switch (width) {
    case 10:
      return &k10;
    case 9:
      return &k9;
    case 8:
      return &k8;
    case 7:
      return &k7;
    case 6:
      return &k6;
    default:
      return nullptr;
  }
}

// Behind "[ 4085]"; the pid in `pid`.
std::optional<std::string_view> AfterPid(std::string_view line, uint32_t* pid) {
  for (size_t at = line.find('['); at != std::string_view::npos; at = line.find('[', at + 1)) {
    std::string_view rest = line.substr(at + 1);
    ConsumeBlanks(&rest);
    const auto number = ConsumeNumber(&rest);
    ConsumeBlanks(&rest);
    if (!number || *number > std::numeric_limits<uint32_t>::max() || !Consume(&rest, "]")) continue;
    std::string_view next = rest;
    ConsumeBlanks(&next);
    if (next.empty() || !IsDigit(next.front()) || next.size() == rest.size()) continue;
    *pid = static_cast<uint32_t>(*number);
    return rest;
  }
  return std::nullopt;
}

bool Store(Column column, int64_t value, TaskRow* row) {
  if (value < 0 && column != Column::kAdj && column != Column::kOther) return false;
  const auto number = static_cast<uint64_t>(value);
  switch (column) {
    case Column::kUid:
      row->uid = static_cast<uint32_t>(number);
      break;
    case Column::kTgid:
      row->tgid = static_cast<uint32_t>(number);
      break;
    case Column::kTotalVm:
      row->total_vm_pages = number;
      break;
    case Column::kRss:
      row->rss_pages = number;
      break;
    case Column::kRssAnon:
      row->rss_anon_pages = number;
      break;
    case Column::kRssFile:
      row->rss_file_pages = number;
      break;
    case Column::kRssShmem:
      row->rss_shmem_pages = number;
      break;
    case Column::kPgtables:
      row->pgtables_bytes = number;
      break;
    case Column::kNrPtes:
      row->nr_ptes = number;
      break;
    case Column::kSwapents:
      row->swapents = number;
      break;
    case Column::kAdj:
      if (value < -1000 || value > 1000) return false;
      row->oom_score_adj = static_cast<int>(value);
      break;
    case Column::kPgtablesOrPtes:
      // Whole pages of at least 4 KiB are bytes; so many page tables would map terabytes.
      if (number >= 4096 && number % 4096 == 0) row->pgtables_bytes = number;
      if (number > 0 && number < 4096) row->nr_ptes = number;
      break;
    case Column::kOther:
      break;
  }
  return true;
}

size_t CountNumbers(std::string_view text) {
  size_t count = 0;
  for (const std::string_view word : SplitWords(text)) {
    std::string_view rest = word;
    if (!ConsumeSigned(&rest) || !rest.empty()) break;
    ++count;
  }
  return count;
}

}  // namespace

std::optional<TaskColumns> ParseTaskHeader(std::string_view line) {
  const size_t begin = line.find("uid ");
  if (begin == std::string_view::npos || !Contains(line, "total_vm") || !Contains(line, "tgid")) return std::nullopt;
  TaskColumns columns;
  for (const std::string_view word : SplitWords(line.substr(begin))) {
    if (word == "name") return columns;
    bool known = false;
    for (const ColumnName& name : kNames) {
      if (name.name != word) continue;
      columns.push_back(name.column);
      known = true;
    }
    if (!known) columns.push_back(Column::kOther);  // of a kernel to come
  }
  return std::nullopt;  // cut before "name": the rows tell more
}

std::optional<TaskRow> ParseTaskRow(std::string_view line, const TaskColumns& columns) {
  TaskRow row;
  const auto after_pid = AfterPid(line, &row.pid);
  if (!after_pid) return std::nullopt;
  std::string_view rest = *after_pid;
  const TaskColumns* shape = columns.empty() ? ColumnsOfWidth(CountNumbers(rest)) : &columns;
  if (shape == nullptr) return std::nullopt;
  for (const Column column : *shape) {
    ConsumeBlanks(&rest);
    const auto value = ConsumeSigned(&rest);
    if (!value || (!rest.empty() && !IsBlank(rest.front())) || !Store(column, *value, &row)) return std::nullopt;
  }
  row.name = Trim(rest);
  if (row.name.empty()) return std::nullopt;
  return row;
}

}  // namespace memtrace::tools
