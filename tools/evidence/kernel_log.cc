#include "tools/evidence/kernel_log.h"

#include <utility>

#include "tools/evidence/host_memory.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

// A summary takes six lines of a narrow terminal.
constexpr int kMostJoins = 12;
// From here on a line was most likely cut by a terminal, not by a writer.
constexpr size_t kTerminalColumns = 79;

// Of the two ways to undo a line break, by nothing or by a blank, the one that makes more sense of the line.
std::string Join(const std::string& first, std::string_view second, KernelMessage* message) {
  if (first.ends_with('=')) {  // soft break of quoted-printable mail
    std::string joined = first.substr(0, first.size() - 1) + std::string(second);
    *message = ParseKernelMessage(joined);
    return joined;
  }
  std::string direct = first + std::string(second);
  std::string spaced = first + ' ' + std::string(second);
  KernelMessage of_direct = ParseKernelMessage(direct);
  KernelMessage of_spaced = ParseKernelMessage(spaced);
  const bool prefer_direct = IsBlank(first.back()) || first.size() >= kTerminalColumns;
  const bool take_direct = of_direct.facts > of_spaced.facts || (of_direct.facts == of_spaced.facts && prefer_direct);
  *message = std::move(take_direct ? of_direct : of_spaced);
  return take_direct ? direct : spaced;
}

}  // namespace

bool KernelLog::Take(std::string_view line, uint32_t number, const Stamp* known) {
  if (!pending_.empty()) {
    if (known == nullptr && TakeContinuation(line)) return true;
    FlushPending();
  }
  Position position{number, {}};
  if (known != nullptr) position.stamp = *known;
  return TakeWhole(line, position, known == nullptr);
}

bool KernelLog::TakeContinuation(std::string_view line) {
  const std::string_view text = SkipQuoteMarks(line);
  if (text.empty() || pending_joins_ >= kMostJoins || BeginsWithStamp(line)) return false;
  const KernelMessage before = ParseKernelMessage(pending_);
  if (before.kind != KernelKind::kNone && ParseKernelMessage(text).kind != KernelKind::kNone) return false;
  KernelMessage message;
  std::string joined = Join(pending_, text, &message);
  const bool better = message.kind != KernelKind::kNone &&
                      (before.kind == KernelKind::kNone || message.facts > before.facts || message.complete);
  if (!better) return false;
  pending_ = std::move(joined);
  ++pending_joins_;
  if (message.complete) FlushPending();
  return true;
}

bool KernelLog::TakeWhole(std::string_view line, const Position& position, bool may_continue) {
  const KernelMessage message = ParseKernelMessage(line);
  const bool incomplete = message.kind == KernelKind::kNone ? EndsInsideAnchor(line) : !message.complete;
  if (may_continue && incomplete) {
    pending_ = line;
    pending_position_ = position;
    pending_joins_ = 0;
    return true;
  }
  if (message.kind == KernelKind::kNone) return TakeDetail(line, position.line);
  Position whole = position;
  if (may_continue) whole.stamp = ParseStamp(line.substr(0, message.begin));
  return Dispatch(message, whole);
}

bool KernelLog::FlushPending() {
  if (pending_.empty()) return false;
  const std::string line = std::exchange(pending_, {});
  const KernelMessage message = ParseKernelMessage(line);
  if (message.kind == KernelKind::kNone) return false;
  pending_position_.stamp = ParseStamp(std::string_view(line).substr(0, message.begin));
  return Dispatch(message, pending_position_);
}

void KernelLog::Finish() {
  FlushPending();
  for (auto& [origin, context] : contexts_) Close(&context);
  contexts_.clear();
}

bool KernelLog::Dispatch(const KernelMessage& message, const Position& position) {
  if (message.kind != KernelKind::kStats) {
    if (Context* context = Find(position.stamp.origin)) context->in_stats = false;
  }
  switch (message.kind) {
    case KernelKind::kInvoked: {
      OomReport& report = Enter(kHeader, position).report;
      report.invoker = message.report.invoker;
      report.gfp_mask = message.report.gfp_mask;
      report.order = message.report.order;
      report.invoker_oom_score_adj = message.report.invoker_oom_score_adj;
      return true;
    }
    case KernelKind::kCpu: {
      // Also at the head of any other trace: only behind "invoked oom-killer" it belongs to a kill.
      Context* context = Find(position.stamp.origin);
      if (context == nullptr || context->phase != kHeader || context->report.invoker_pid) return false;
      context->report.invoker_pid = message.report.invoker_pid;
      context->report.kernel = message.report.kernel;
      return true;
    }
    case KernelKind::kOverLimit:
      TakeOverLimit(message, position);
      return true;
    case KernelKind::kMemory:
      TakeUsage(message, &OomReport::memory, position);
      return true;
    case KernelKind::kMemorySwap:
      TakeUsage(message, &OomReport::memsw, position);
      return true;
    case KernelKind::kSwap:
      TakeUsage(message, &OomReport::swap, position);
      return true;
    case KernelKind::kKernelMemory:
      TakeUsage(message, &OomReport::kmem, position);
      return true;
    case KernelKind::kStats:
      TakeStats(message, position);
      return true;
    case KernelKind::kSummary:
      TakeSummary(message, position);
      return true;
    case KernelKind::kChosen:
      TakeChosen(message, position);
      return true;
    case KernelKind::kKilled:
      return TakeKilled(message, position);
    case KernelKind::kGroup: {
      OomReport& report = Enter(kKilledPhase, position).report;
      report.group = message.report.group;
      report.scope = OomScope::kMemcg;
      return true;
    }
    case KernelKind::kReaped:
      TakeReaped(message.kill.pid, position);
      return true;
    case KernelKind::kNone:
      return false;
  }
  return false;
}

bool KernelLog::TakeDetail(std::string_view line, uint32_t number) {
  const std::string origin = OriginOf(line);
  Context* context = Find(origin.empty() ? last_origin_ : origin);
  if (context != nullptr && context->in_stats && !context->report.stats.empty()) {
    constexpr size_t kMostValues = 512;
    NamedNumbers& values = context->report.stats.back().values;
    const auto value = ParseStatLine(line);
    if (value && values.all.size() < kMostValues) {
      values.all.emplace_back(value->first, value->second);
      context->last_line = number;
      return true;
    }
  }
  if (TakeTask(line, number, context)) return true;
  return context != nullptr && context->phase == kHeader && TakeHostLine(line, &context->report.host);
}

bool KernelLog::TakeTask(std::string_view line, uint32_t number, Context* context) {
  const size_t bracket = line.find('[');
  if (bracket == std::string_view::npos) return false;
  const std::optional<TaskColumns> columns = ParseTaskHeader(line);
  const bool in_table = context != nullptr && context->phase == kTasksPhase;
  std::optional<TaskRow> row;
  if (!columns) {
    row = ParseTaskRow(line, in_table ? context->columns : TaskColumns());
    // Without a report around it, a row must look like one of a process.
    if (!row || (!in_table && row->pid != row->tgid)) return false;
  }
  if (!in_table) context = &Enter(kTasksPhase, {number, ParseStamp(line.substr(0, line.rfind('[')))});
  context->in_stats = false;
  context->last_line = number;
  if (columns) {
    context->columns = *columns;
    return true;
  }
  if (context->report.tasks.size() >= kMostTasks || tasks_kept_ >= kMostTasksInAll) {
    ++context->report.tasks_left_out;
    return true;
  }
  row->place = {file_, number};
  context->report.tasks.push_back(std::move(*row));
  ++tasks_kept_;
  return true;
}

}  // namespace memtrace::tools
