// Reads OOM kills and what the kernel reported around them out of a log, line by line.
#ifndef MEMTRACE_TOOLS_EVIDENCE_KERNEL_LOG_H_
#define MEMTRACE_TOOLS_EVIDENCE_KERNEL_LOG_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tools/evidence/evidence.h"
#include "tools/evidence/kernel_message.h"
#include "tools/evidence/kill_list.h"
#include "tools/evidence/stamp.h"
#include "tools/evidence/task_table.h"

namespace memtrace::tools {

inline constexpr size_t kMostReports = 20000;
inline constexpr size_t kMostTasksInAll = 200000;

// The lines of one file, in order. Holds one report per origin (host and CPU) at a time, so memory is bounded.
class KernelLog {
 public:
  KernelLog(uint32_t file, Evidence* evidence, KillList* kills) : file_(file), evidence_(*evidence), kills_(*kills) {}

  // `line` is clean (see CleanLine). `known` is the time where it is kept apart from the text, as by journald. True if
  // the line belongs to a report or a kill.
  bool Take(std::string_view line, uint32_t number, const Stamp* known = nullptr);
  // What comes next is no continuation of the last line.
  void EndOfText() { FlushPending(); }
  // No more lines. What was begun counts as far as it goes.
  void Finish();
  // Reports and tasks beyond the constants above.
  uint64_t left_out() const { return left_out_; }

 private:
  // The kernel prints the parts of a report in this order; one that steps back begins another report.
  enum Phase { kNothing, kHeader, kUsagePhase, kStatsPhase, kTasksPhase, kSummaryPhase, kChosenPhase, kKilledPhase };

  struct Context {
    OomReport report;
    Phase phase = kNothing;
    std::optional<OomKill> summary;  // its "Killed process" has not come yet
    std::optional<OomKill> chosen;
    TaskColumns columns;
    bool in_stats = false;
    std::optional<double> last_s;
    uint32_t last_line = 0;
  };
  // Where a message was read.
  struct Position {
    uint32_t line;
    Stamp stamp;
  };

  bool TakeContinuation(std::string_view line);
  bool TakeWhole(std::string_view line, uint32_t number, const Stamp* known);
  Position PositionOf(std::string_view prefix, uint32_t number, const Stamp* known) const;
  bool FlushPending();
  bool Dispatch(const KernelMessage& message, const Position& position);
  bool TakeKilled(const KernelMessage& message, const Position& position);
  void TakeSummary(const KernelMessage& message, const Position& position);
  void TakeChosen(const KernelMessage& message, const Position& position);
  void TakeUsage(const KernelMessage& message, UsageLine OomReport::*which, const Position& position);
  void TakeStats(const KernelMessage& message, const Position& position);
  void TakeOverLimit(const KernelMessage& message, const Position& position);
  void TakeReaped(uint32_t pid, const Position& position);
  bool TakeDetail(std::string_view line, uint32_t number, const Stamp* known);
  bool TakeTask(std::string_view line, uint32_t number, const Stamp* known, Context* context);

  Context* Find(const std::string& origin);
  // The report that a message of `phase` belongs to: the one that is open, or a new one.
  Context& Enter(Phase phase, const Position& position);
  bool IsStale(const Context& context, const Position& position) const;
  void EmitWaiting(Context* context);
  void Emit(OomKill kill, bool is_member, Context* context);
  void Close(Context* context);

  const uint32_t file_;
  Evidence& evidence_;
  KillList& kills_;
  std::map<std::string, Context> contexts_;  // by origin
  std::string last_origin_;
  std::string pending_;  // an incomplete message that the next line may complete
  uint32_t pending_line_ = 0;
  int pending_joins_ = 0;
  size_t tasks_kept_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_KERNEL_LOG_H_
