// The picture of `memtrace monitor --plot`.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "injector/monitor/outputs.h"

namespace memtrace::injector {
namespace {

// Units of the picture.
constexpr double kWidth = 960, kHeight = 420, kLeft = 84, kRight = 24, kTop = 64, kBottom = 48;

constexpr const char* kStyle =
    "<style>\n"
    "svg{background:#fff;font:13px system-ui,sans-serif}\n"
    "text{fill:#444}.title{font-size:17px;font-weight:600;fill:#111}.grid{stroke:#e3e3e3}\n"
    ".usage{fill:#9ecae9;stroke:none}.edge{fill:none;stroke:#2f7fb8;stroke-width:1.5}\n"
    ".working{fill:none;stroke:#1b4965;stroke-width:1.5;stroke-dasharray:2 2}\n"
    ".limit{fill:none;stroke:#c1272d;stroke-width:1.5;stroke-dasharray:7 4}.limit-name{fill:#c1272d}\n"
    ".snapshot{stroke:#7a5195}.snapshot-name{fill:#7a5195}.kill{stroke:#c1272d;stroke-width:2}\n"
    ".kill-name{fill:#c1272d;font-weight:600}.end{stroke:#777;stroke-dasharray:3 3}\n"
    "@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#b9bec7}.title{fill:#f2f2f2}\n"
    ".grid{stroke:#2c3037}.usage{fill:#24506f}.edge{stroke:#6cb4e4}.working{stroke:#d5e8f5}\n"
    ".limit,.kill{stroke:#ff6b6b}.limit-name,.kill-name{fill:#ff6b6b}.snapshot{stroke:#c39be0}\n"
    ".snapshot-name{fill:#c39be0}}\n"
    "</style>\n";

std::string Escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '<')
      safe += "&lt;";
    else if (c == '&')
      safe += "&amp;";
    else
      safe += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return safe;
}

template <typename... Values>
std::string Text(const char* format, Values... values) {
  char text[256];
  snprintf(text, sizeof(text), format, values...);
  return text;
}

// The step that makes about five lines: 1, 2, 5 times a power of ten, or of two where bytes are counted.
double BytesStep(double highest) {
  double step = 1024;
  while (highest / step > 6) step *= 2;
  return step;
}

std::string BytesName(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return Text(bytes == std::floor(bytes) ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
}

class Plot {
 public:
  explicit Plot(const std::vector<MonitorSample>& rows) : rows_(rows) {
    for (const MonitorSample& row : rows_) {
      for (const Field field : {kUsage, kLimit}) {
        if (row.Knows(field)) highest_ = std::max(highest_, static_cast<double>(row.values[field]));
      }
    }
    highest_ *= 1.06;
    begin_ = rows_.empty() ? 0 : rows_.front().time_ns;
    span_ = rows_.empty() ? 1 : std::max<double>(1e6, static_cast<double>(rows_.back().time_ns - begin_));
  }

  std::string Draw(const std::string& title) {
    out_ = Text(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
        "role=\"img\">\n",
        kWidth, kHeight, kWidth, kHeight);
    out_ += kStyle;
    out_ += "<title>Memory of " + Escaped(title) + "</title>\n";
    out_ += Text("<text class=\"title\" x=\"%.0f\" y=\"26\">Memory of ", kLeft) + Escaped(title) + "</text>\n";
    Grid();
    Area();
    Line(kWorkingSet, "working");
    Line(kLimit, "limit");
    Legend();
    for (const MonitorSample& row : rows_) {
      if (!row.event.empty()) Mark(row);
    }
    return out_ + "</svg>\n";
  }

 private:
  double X(const MonitorSample& row) const {
    return kLeft + static_cast<double>(row.time_ns - begin_) / span_ * (kWidth - kLeft - kRight);
  }
  double Y(double bytes) const { return kHeight - kBottom - bytes / highest_ * (kHeight - kTop - kBottom); }

  void Grid() {
    const double step = BytesStep(highest_);
    for (double bytes = 0; bytes <= highest_; bytes += step) {
      out_ += Text("<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", kLeft, kWidth - kRight,
                   Y(bytes), Y(bytes));
      out_ += Text("<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", kLeft - 8, Y(bytes) + 4,
                   BytesName(bytes).c_str());
    }
    if (rows_.empty()) return;
    constexpr int kTimes = 5;
    for (int i = 0; i <= kTimes; ++i) {
      const std::string stamp = TimeText(begin_ + static_cast<uint64_t>(span_ * i / kTimes));
      // Whole seconds tell apart what lies minutes away, dates what lies days away.
      const std::string name = span_ < 60e9      ? stamp.substr(11, 12)
                               : span_ < 86400e9 ? stamp.substr(11, 8)
                                                 : stamp.substr(5, 11);
      const char* anchor = i == 0 ? "start" : i == kTimes ? "end" : "middle";
      out_ += Text("<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"%s\">%s%s</text>\n",
                   kLeft + (kWidth - kLeft - kRight) * i / kTimes, kHeight - kBottom + 20, anchor, name.c_str(),
                   i == kTimes ? " UTC" : "");
    }
  }

  // Runs of rows in which `field` is known, as points "x,y".
  std::vector<std::string> Runs(Field field, bool closed) const {
    std::vector<std::string> runs;
    double first = 0, last = 0;
    bool open = false;
    const auto close = [&] {
      if (open && closed) runs.back() += Text("%.1f,%.1f %.1f,%.1f", last, Y(0), first, Y(0));
      open = false;
    };
    for (const MonitorSample& row : rows_) {
      if (!row.Knows(field)) {
        close();
        continue;
      }
      if (!open) {
        runs.emplace_back();
        first = X(row);
        open = true;
      }
      last = X(row);
      runs.back() += Text("%.1f,%.1f ", last, Y(static_cast<double>(row.values[field])));
    }
    close();
    return runs;
  }

  void Line(Field field, const char* style) {
    for (const std::string& run : Runs(field, false))
      out_ += std::string("<polyline class=\"") + style + "\" points=\"" + run + "\"/>\n";
  }

  void Area() {
    for (const std::string& run : Runs(kUsage, true)) out_ += "<polygon class=\"usage\" points=\"" + run + "\"/>\n";
    Line(kUsage, "edge");
  }

  void Legend() {
    struct Entry {
      const char* style;
      const char* name;
    };
    constexpr Entry kEntries[] = {{"edge", "usage"}, {"working", "working set"}, {"limit", "limit"}};
    double x = kLeft;
    for (const Entry& entry : kEntries) {
      out_ +=
          Text("<line class=\"%s\" x1=\"%.0f\" x2=\"%.0f\" y1=\"44\" y2=\"44\"/><text x=\"%.0f\" y=\"48\">%s</text>\n",
               entry.style, x, x + 22, x + 28, entry.name);
      x += 48 + 8 * static_cast<double>(strlen(entry.name));
    }
  }

  void Mark(const MonitorSample& row) {
    const bool kill = row.event.starts_with("oom_kill");
    const bool snapshot = !kill && row.event.find("snapshot") != std::string::npos;
    const char* style = kill ? "kill" : snapshot ? "snapshot" : "end";
    const double x = X(row);
    out_ += Text("<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>\n", style, x, x, kTop - 4,
                 kHeight - kBottom);
    // Names stand left of their line where there is no room at the right, and step down so as not to cover each other.
    const bool left = x > kWidth - 240;
    const double y = kTop + 14 + 16 * static_cast<double>(names_++ % 5);
    const std::string name = kill ? "OOM kill" : snapshot ? "snapshot" : row.event.substr(0, row.event.find(':'));
    out_ += Text("<text class=\"%s-name\" x=\"%.1f\" y=\"%.0f\" text-anchor=\"%s\">", style, left ? x - 5 : x + 5, y,
                 left ? "end" : "start") +
            Escaped(name) + "<title>" + Escaped(TimeText(row.time_ns) + " " + row.event) + "</title></text>\n";
  }

  const std::vector<MonitorSample>& rows_;
  std::string out_;
  double highest_ = 1024;
  uint64_t begin_;
  double span_;  // ns
  size_t names_ = 0;
};

}  // namespace

std::string PlotSvg(const std::string& title, const std::vector<MonitorSample>& rows) { return Plot(rows).Draw(title); }

}  // namespace memtrace::injector
