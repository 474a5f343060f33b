// A line on standard error that says what is going on, if that is a terminal and the work takes more than a second.
#ifndef MEMTRACE_TOOLS_COMMON_PROGRESS_H_
#define MEMTRACE_TOOLS_COMMON_PROGRESS_H_

#include <cstdint>
#include <string_view>

namespace memtrace::tools {

// One piece of work; the line shows the innermost one that is going on. Nothing is printed in the first second of the
// process; when the outermost stage ends the line is cleared. One thread only.
class ProgressStage {
 public:
  // `what` as in "naming functions"; must outlive the stage. `total` 0: unknown.
  explicit ProgressStage(std::string_view what, uint64_t total = 0);
  ~ProgressStage();
  ProgressStage(const ProgressStage&) = delete;
  ProgressStage& operator=(const ProgressStage&) = delete;

  // Cheap: the clock is looked at every now and then.
  void Advance(uint64_t amount = 1) {
    done_ += amount;
    if (++calls_ % 64 == 0 || amount >= 4096) Show();
  }

 private:
  void Show() const;

  std::string_view what_;
  uint64_t total_;
  uint64_t done_ = 0;
  uint64_t calls_ = 0;
  ProgressStage* outer_;
};

// From now on nothing is shown: something else is written to the terminal.
void StopProgress();

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_COMMON_PROGRESS_H_
