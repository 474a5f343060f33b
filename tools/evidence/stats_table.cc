#include "tools/evidence/stats_table.h"

#include <algorithm>

#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

// Cells are at least two blanks or a tab apart; one blank may be part of a cell ("0 B / 1.02 GB").
std::vector<std::string_view> Cells(std::string_view line) {
  std::vector<std::string_view> cells;
  line = Trim(line);
  while (!line.empty()) {
    const size_t end = std::min({line.find("  "), line.find('\t'), line.size()});
    cells.push_back(Trim(line.substr(0, end)));
    line = Trim(line.substr(end));
  }
  return cells;
}

bool IsContainerId(std::string_view text) {
  return text.size() >= 12 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void TakeCell(std::string_view column, std::string_view cell, Sample* sample) {
  if (column.starts_with("MEM USAGE")) {
    if (const auto usage = ParseUsageOfLimit(cell)) {
      sample->memory_bytes = usage->usage_bytes;
      sample->limit_bytes = usage->limit_bytes;
    }
  } else if (column == "MEM %") {
    sample->memory_percent = ParsePercent(cell);
  } else if (column == "CPU %") {
    sample->cpu_percent = ParsePercent(cell);
  } else if (column == "PIDS") {
    sample->pids = WholeNumber(cell);
  } else if (column == "NAME" || column == "POD") {
    sample->name = cell;
  } else if (column == "CONTAINER ID" || column == "ID" || column == "CONTAINER") {
    (IsContainerId(cell) ? sample->id : sample->name) = cell;
  } else if (column == "MEMORY(bytes)") {
    sample->memory_bytes = ParseSize(cell, UnitStyle::kKubernetes);
  }
}

// A row whose columns ran together: "web 2.34% 456MiB / 512MiB 89.06% ..."
bool TakeLooseRow(std::string_view line, Sample* sample) {
  std::vector<std::string_view> words = SplitWords(line);
  const auto slash = std::find(words.begin(), words.end(), "/");
  if (slash == words.end() || slash - words.begin() < 2 || words.end() - slash < 3) return false;
  sample->memory_bytes = ParseSize(slash[-1], UnitStyle::kDisplay);
  sample->limit_bytes = ParseSize(slash[1], UnitStyle::kDisplay);
  sample->memory_percent = ParsePercent(slash[2]);
  if (!sample->memory_bytes || !sample->limit_bytes || !sample->memory_percent) return false;
  if (IsContainerId(words[0])) {
    sample->id = words[0];
    if (slash - words.begin() >= 4) sample->name = words[1];
  } else {
    sample->name = words[0];
  }
  return true;
}

}  // namespace

std::optional<UsageOfLimit> ParseUsageOfLimit(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  UsageOfLimit result{ParseSize(text.substr(0, slash), UnitStyle::kDisplay),
                      ParseSize(text.substr(slash + 1), UnitStyle::kDisplay)};
  const bool dashes = Trim(text.substr(0, slash)) == "--";
  return result.usage_bytes || dashes ? std::optional(result) : std::nullopt;
}

bool StatsTable::Take(std::string_view line, uint32_t number) {
  if (Contains(line, "MEM USAGE / LIMIT") || Contains(line, "MEM USAGE/LIMIT") || Contains(line, "MEMORY(bytes)")) {
    header_.clear();
    for (const std::string_view cell : Cells(line)) header_.emplace_back(cell);
    // "NAME CPU(cores) MEMORY(bytes)" and other narrow tables
    if (header_.size() < 2) {
      header_.clear();
      for (const std::string_view word : SplitWords(line)) header_.emplace_back(word);
    }
    return true;
  }
  if (header_.empty() || Trim(line).empty()) return false;
  Sample sample;
  sample.place = {file_, number};
  std::vector<std::string_view> cells = Cells(line);
  if (cells.size() != header_.size() && Contains(header_.back(), "(bytes)")) cells = SplitWords(line);
  if (cells.size() == header_.size()) {
    for (size_t i = 0; i < cells.size(); ++i) TakeCell(header_[i], cells[i], &sample);
  } else if (!TakeLooseRow(line, &sample)) {
    header_.clear();  // the table has ended
    return false;
  }
  if (!sample.memory_bytes && !Contains(line, "-- / --")) {
    header_.clear();
    return false;
  }
  if (evidence_.samples.size() < kMostSamples) evidence_.samples.push_back(std::move(sample));
  return true;
}

}  // namespace memtrace::tools
