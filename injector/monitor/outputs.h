// The forms in which `memtrace monitor` hands out its rows.
#ifndef MEMTRACE_INJECTOR_MONITOR_OUTPUTS_H_
#define MEMTRACE_INJECTOR_MONITOR_OUTPUTS_H_

#include <string>
#include <vector>

#include "injector/monitor/sample.h"

namespace memtrace::injector {

// RFC 4180, one line each, with its newline. What is unknown is empty. Columns are only ever added, before `event`.
std::string CsvHeader();
std::string CsvRow(const MonitorSample& sample);

// The newest row for the textfile collector of Prometheus' node_exporter and for OpenMetrics 1.0. What is unknown is
// not in it. `running`: the target was there.
std::string MetricsText(const MonitorTarget& target, const MonitorSample& sample, bool running);

// The rows of a plot, as many as a picture can show: when there are too many, each two become one that keeps the higher
// usage and the events of both.
class PlotRows {
 public:
  void Add(const MonitorSample& sample);
  const std::vector<MonitorSample>& rows() const { return rows_; }

 private:
  std::vector<MonitorSample> rows_;
  size_t per_row_ = 1;  // samples
  size_t in_last_ = 0;
};

// Usage, working set and limit over time, with events marked: an SVG document, in light and dark.
std::string PlotSvg(const std::string& title, const std::vector<MonitorSample>& rows);

// "61.2 MiB of 64.0 MiB  95.6 %  [###-]": one line for a terminal.
std::string ProgressLine(const MonitorSample& sample);

// Writes beside `path` and renames, so that nobody reads half a file. False with errno set if it cannot.
bool ReplaceFile(const std::string& path, const std::string& content);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_MONITOR_OUTPUTS_H_
