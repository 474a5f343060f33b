#include "tools/evidence/monitor_csv.h"

#include <algorithm>

#include "tools/evidence/stamp.h"
#include "tools/evidence/stats_table.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

std::string_view Unquoted(std::string_view cell) {
  cell = Trim(cell);
  if (cell.size() >= 2 && cell.front() == '"' && cell.back() == '"') cell = cell.substr(1, cell.size() - 2);
  return Trim(cell);
}

bool IsTimeName(std::string_view name) {
  return name == "timestamp" || name == "time" || name == "date" || name == "datetime" || name == "ts";
}

bool ParseCsvTime(std::string_view cell, Moment* moment) {
  *moment = MomentOf(cell);
  if (moment->unix_ns) return true;
  std::string_view rest = cell;
  const auto epoch = ConsumeDecimal(&rest);
  if (epoch && rest.empty() && *epoch > 5e8 && *epoch < 9e9) {
    moment->unix_ns = static_cast<int64_t>(*epoch * 1e3) * 1000000;
    return true;
  }
  return ParseStamp(cell).clock_s.has_value();  // a local time
}

void TakeNumber(std::string_view column, std::string_view cell, Sample* sample) {
  const auto value = WholeNumber(cell);
  if (column.ends_with("percent") || column.ends_with("pct") || column.ends_with("_%") || column.ends_with(" %")) {
    std::string_view rest = cell;
    const auto percent = ConsumeDecimal(&rest);
    if (!percent || !rest.empty()) return;
    (column.starts_with("cpu") ? sample->cpu_percent : sample->memory_percent) = percent;
  } else if (!value) {
    return;
  } else if (column == "memory_bytes" || column == "usage_bytes" || column == "memory_usage_bytes") {
    sample->memory_bytes = value;
  } else if (column == "limit_bytes" || column == "memory_limit_bytes") {
    sample->limit_bytes = value;
  } else if (column == "pids") {
    sample->pids = value;
  } else {
    sample->more.all.emplace_back(column, *value);
  }
}

// What the cell itself says: "456MiB / 512MiB", "89.06%", "456MiB".
bool TakeTelling(std::string_view column, std::string_view cell, Sample* sample) {
  if (const auto usage = ParseUsageOfLimit(cell)) {
    sample->memory_bytes = usage->usage_bytes;
    // "456MiB / 512MiB 89.06%": two columns that were printed as one
    const std::string_view behind = Trim(cell.substr(cell.find('/') + 1));
    const size_t blank = behind.rfind(' ');
    sample->limit_bytes = usage->limit_bytes;
    if (!sample->limit_bytes && blank != std::string_view::npos && ParsePercent(behind.substr(blank))) {
      sample->limit_bytes = ParseSize(behind.substr(0, blank), UnitStyle::kDisplay);
      sample->memory_percent = ParsePercent(behind.substr(blank));
    }
    return true;
  }
  if (const auto percent = ParsePercent(cell)) {
    (column.starts_with("cpu") ? sample->cpu_percent : sample->memory_percent) = percent;
    return true;
  }
  const auto size = ParseSize(cell, UnitStyle::kDisplay);
  if (!size || IsDigit(cell.back())) return false;
  (sample->memory_bytes ? sample->limit_bytes : sample->memory_bytes) = size;
  return true;
}

}  // namespace

bool MonitorCsv::Take(std::string_view line, uint32_t number) {
  constexpr size_t kLongestHeader = 4096;
  const std::string lower = line.size() <= kLongestHeader ? Lower(line) : std::string();
  const std::vector<std::string_view> cells = Split(lower, ',');
  const bool header =
      cells.size() >= 2 && IsTimeName(Unquoted(cells[0])) && (Contains(lower, "mem") || Contains(lower, "usage"));
  if (header) {
    columns_.clear();
    for (const std::string_view cell : cells) columns_.emplace_back(Unquoted(cell));
    return true;
  }
  return !columns_.empty() && TakeRow(line, number);
}

bool MonitorCsv::TakeRow(std::string_view line, uint32_t number) {
  const std::vector<std::string_view> cells = Split(line, ',');
  Sample sample;
  sample.place = {file_, number};
  sample.source = SampleSource::kMonitorCsv;
  if (cells.size() < 2 || !ParseCsvTime(Unquoted(cells[0]), &sample.time)) return false;
  for (size_t i = 1; i < cells.size(); ++i) {
    const std::string_view cell = Unquoted(cells[i]);
    const std::string_view column = i < columns_.size() ? std::string_view(columns_[i]) : std::string_view();
    if (cell.empty() || TakeTelling(column, cell, &sample) || column.empty()) continue;
    if (column == "name" || column == "container") {
      sample.name = cell;
    } else {
      TakeNumber(column, cell, &sample);
    }
  }
  if (!sample.memory_bytes && !sample.memory_percent) return false;
  if (evidence_.samples.size() < kMostSamples) evidence_.samples.push_back(std::move(sample));
  return true;
}

}  // namespace memtrace::tools
