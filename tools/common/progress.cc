#include "tools/common/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>

namespace memtrace::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kSilence(1);
constexpr std::chrono::milliseconds kPeriod(100);

// The line and the stages that may write it.
struct Line {
  bool terminal =
      isatty(STDERR_FILENO) == 1 && std::getenv("TERM") != nullptr && std::string_view(std::getenv("TERM")) != "dumb";
  Clock::time_point next = Clock::now() + kSilence;
  bool shown = false;
  ProgressStage* innermost = nullptr;

  // Not through iostream: whatever waits in its buffers would be mixed with it.
  void Write(std::string_view text) const {
    const ssize_t n = write(STDERR_FILENO, text.data(), text.size());
    static_cast<void>(n);  // nobody looks
  }
};

Line& TheLine() {
  static Line line;
  return line;
}

}  // namespace

void StopProgress() { TheLine().terminal = false; }

ProgressStage::ProgressStage(std::string_view what, uint64_t total)
    : what_(what), total_(total), outer_(TheLine().innermost) {
  TheLine().innermost = this;
  Show();
}

ProgressStage::~ProgressStage() {
  Line& line = TheLine();
  line.innermost = outer_;
  if (outer_ != nullptr || !line.shown) return;
  line.Write("\r\033[K");
  line.shown = false;
}

void ProgressStage::Show() const {
  Line& line = TheLine();
  const Clock::time_point now = Clock::now();
  if (!line.terminal || now < line.next) return;
  line.next = now + kPeriod;
  line.shown = true;
  std::string text = fmt::format("\r\033[Kmemtrace-report: {}", what_);
  if (total_ > 0) {
    text += fmt::format(" {} %", std::min<uint64_t>(done_, total_) * 100 / total_);
  } else if (done_ > 0) {
    text += fmt::format(" {}", done_);
  }
  line.Write(text);
}

}  // namespace memtrace::tools
