#include "injector/monitor/outputs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "injector/container_root.h"
#include "libmemtrace/rt/os.h"

namespace memtrace::injector {
namespace {

std::string Decimal(double value, const char* format) {
  char text[32];
  snprintf(text, sizeof(text), format, value);
  return text;
}

std::string Size(uint64_t bytes) { return rt::TextBuffer<32>().AddSize(bytes).c_str(); }

std::string Quoted(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

// Backslash and quote are what OpenMetrics escapes in the value of a label of one line.
std::string LabelValue(const std::string& text) {
  std::string value;
  for (const char c : Printable(text, PATH_MAX)) {
    if (c == '\\' || c == '"') value += '\\';
    value += c;
  }
  return value;
}

class MetricsWriter {
 public:
  explicit MetricsWriter(std::string labels) : labels_(std::move(labels)) {}

  void Add(const char* name, const char* help, bool counter, const std::string& value) {
    text_ += std::string("# HELP ") + name + ' ' + help + '\n';
    text_ += std::string("# TYPE ") + name + (counter ? " counter\n" : " gauge\n");
    text_ += std::string(name) + (counter ? "_total" : "") + labels_ + ' ' + value + '\n';
  }
  std::string Finish() { return text_ + "# EOF\n"; }

 private:
  std::string labels_;
  std::string text_;
};

void Merge(const MonitorSample& newer, MonitorSample* row) {
  const std::string event = row->event + (row->event.empty() || newer.event.empty() ? "" : "; ") + newer.event;
  if (!row->Knows(kUsage) || (newer.Knows(kUsage) && newer.values[kUsage] > row->values[kUsage])) *row = newer;
  row->event = event;
}

}  // namespace

std::string CsvHeader() {
  std::string line = "timestamp,memory_bytes,memory_percent";
  for (size_t field = kUsage + 1; field < kFieldCount; ++field) line += std::string(",") + kFieldNames[field].column;
  return line + ",pressure_full_avg10,event\n";
}

std::string CsvRow(const MonitorSample& sample) {
  const auto number = [&sample](size_t field) {
    const bool known = sample.Knows(static_cast<Field>(field));
    return "," + (known ? std::to_string(sample.values[field]) : std::string());
  };
  std::string line = TimeText(sample.time_ns) + number(kUsage) + ",";
  if (sample.percent >= 0) line += Decimal(sample.percent, "%.2f");
  for (size_t field = kUsage + 1; field < kFieldCount; ++field) line += number(field);
  line += ',';
  if (sample.pressure_full_avg10 >= 0) line += Decimal(sample.pressure_full_avg10, "%.2f");
  return line + ',' + Quoted(sample.event) + '\n';
}

std::string MetricsText(const MonitorTarget& target, const MonitorSample& sample, bool running) {
  MetricsWriter writer("{id=\"" + LabelValue(target.cgroup.path) + "\",name=\"" + LabelValue(target.name) + "\"}");
  for (size_t field = 0; field < kFieldCount; ++field) {
    if (!sample.Knows(static_cast<Field>(field))) continue;
    const FieldName& name = kFieldNames[field];
    writer.Add(name.metric, name.help, name.counter, std::to_string(sample.values[field]));
  }
  if (sample.percent >= 0) {
    writer.Add("memtrace_memory_limit_used_ratio", "Usage by the limit, where the limit is.", false,
               Decimal(sample.percent / 100, "%.4f"));
  }
  if (sample.pressure_full_avg10 >= 0) {
    writer.Add("memtrace_memory_pressure_full_ratio", "Share of time that all tasks waited for memory, over 10 s.",
               false, Decimal(sample.pressure_full_avg10 / 100, "%.4f"));
  }
  writer.Add("memtrace_target_up", "1 while the target is there.", false, running ? "1" : "0");
  writer.Add("memtrace_sample_timestamp_seconds", "When this was read.", false,
             Decimal(static_cast<double>(sample.time_ns) / 1e9, "%.3f"));
  return writer.Finish();
}

void PlotRows::Add(const MonitorSample& sample) {
  constexpr size_t kMostRows = 2000;
  if (in_last_ > 0 && in_last_ < per_row_) {
    Merge(sample, &rows_.back());
    ++in_last_;
    return;
  }
  if (rows_.size() == kMostRows) {
    for (size_t i = 0; i < kMostRows / 2; ++i) {
      MonitorSample row = rows_[2 * i];
      Merge(rows_[2 * i + 1], &row);
      rows_[i] = row;
    }
    rows_.resize(kMostRows / 2);
    per_row_ *= 2;
  }
  rows_.push_back(sample);
  in_last_ = 1;
}

std::string ProgressLine(const MonitorSample& sample) {
  std::string line = TimeText(sample.time_ns).substr(11, 8) + "  ";
  line += sample.Knows(kUsage) ? Size(sample.values[kUsage]) : "usage unknown";
  if (sample.Knows(kLimit)) line += " of " + Size(sample.values[kLimit]);
  if (sample.percent >= 0) {
    constexpr size_t kCells = 20;
    const size_t full = std::min(kCells, static_cast<size_t>(sample.percent / 100 * kCells));
    line += "  " + Decimal(sample.percent, "%.1f %%") + "  [" + std::string(full, '#') +
            std::string(kCells - full, '-') + "]";
  } else {
    line += "  no limit";
  }
  if (sample.Knows(kOomKills) && sample.values[kOomKills] > 0)
    line += "  OOM kills: " + std::to_string(sample.values[kOomKills]);
  return line;
}

bool ReplaceFile(const std::string& path, const std::string& content) {
  // In the same directory, as rename(2) wants; node_exporter reads only names that end in .prom.
  const std::string temporary = path + ".tmp" + std::to_string(getpid());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  int error = -rt::WriteAll(fd, content.data(), content.size());
  close(fd);
  if (error == 0 && rename(temporary.c_str(), path.c_str()) == 0) return true;
  if (error == 0) error = errno;
  unlink(temporary.c_str());
  errno = error;
  return false;
}

}  // namespace memtrace::injector
