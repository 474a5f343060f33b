#include "tools/evidence/kernel_log.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "tools/evidence/host_memory.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

// A summary takes six lines of a narrow terminal.
constexpr int kMostJoins = 12;
// From here on a line was most likely cut by a terminal, not by a writer.
constexpr size_t kTerminalColumns = 79;

// Of the ways to undo a line break the one that makes more sense of the line.
std::string Join(const std::string& first, std::string_view second, KernelMessage* message) {
  const std::string rest(second);
  std::vector<std::string> joined = {first + rest, first + ' ' + rest};
  const bool by_terminal = IsBlank(first.back()) || first.size() >= kTerminalColumns;
  if (!by_terminal) std::swap(joined[0], joined[1]);
  if (first.ends_with('=')) joined.push_back(first.substr(0, first.size() - 1) + rest);  // quoted-printable mail
  std::string best;
  for (std::string& candidate : joined) {
    KernelMessage read = ParseKernelMessage(candidate);
    if (!best.empty() && read.facts <= message->facts) continue;  // of equals the first
    *message = std::move(read);
    best = std::move(candidate);
  }
  return best;
}

// A number at the right margin may go on in the next line.
bool CutsNumber(std::string_view line) { return line.size() >= kTerminalColumns && IsDigit(line.back()); }

// Messages made of paths have no blanks, and a piece of a path adds no fact of its own.
bool GoesOnInPath(KernelKind kind, const std::string& first, std::string_view second) {
  const size_t blank = second.find_first_of(" \t");
  if (kind == KernelKind::kGroup) {  // words follow its path
    constexpr std::string_view kWords = "are going to be killed due to memory.oom.group set";
    return blank == std::string_view::npos || Contains(kWords, second) || Contains(kWords, Trim(second.substr(blank)));
  }
  if (blank != std::string_view::npos) return false;
  if (kind == KernelKind::kOverLimit) return first.size() >= kTerminalColumns;
  return kind == KernelKind::kSummary || kind == KernelKind::kStats;
}

}  // namespace

bool KernelLog::Take(std::string_view line, uint32_t number, const Stamp* known) {
  if (!pending_.empty()) {
    if (known == nullptr && TakeContinuation(line)) return true;
    FlushPending();
  }
  return TakeWhole(line, number, known);
}

// The stamps in front of a message, and what was said beside the line.
KernelLog::Position KernelLog::PositionOf(std::string_view prefix, uint32_t number, const Stamp* known) const {
  Position position{number, ParseStamp(prefix)};
  Stamp& stamp = position.stamp;
  if (known == nullptr) {
    if (!stamp.clock_s && stamp.origin.empty()) stamp.origin = last_origin_;  // a line that lost its beginning
    return position;
  }
  if (known->moment.unix_ns) stamp.moment.unix_ns = known->moment.unix_ns;
  if (known->moment.uptime_s) stamp.moment.uptime_s = known->moment.uptime_s;
  if (stamp.moment.text.empty()) stamp.moment.text = known->moment.text;
  if (known->clock_s) stamp.clock_s = known->clock_s;
  if (stamp.origin.empty()) stamp.origin = known->origin;
  return position;
}

bool KernelLog::TakeContinuation(std::string_view line) {
  // Only marks of quotation: others may be the message's own ("#1 SMP").
  const std::string_view text = Trim(line.substr(std::min(line.find_first_not_of(" \t>|"), line.size())));
  if (text.empty() || pending_joins_ >= kMostJoins || BeginsWithStamp(line)) return false;
  if (CutsNumber(pending_) && WholeNumber(text)) {
    pending_ += text;
    return true;
  }
  const KernelMessage before = ParseKernelMessage(pending_);
  if (before.complete) return false;
  if (before.kind != KernelKind::kNone && ParseKernelMessage(text).kind != KernelKind::kNone) return false;
  KernelMessage message;
  std::string joined = Join(pending_, text, &message);
  const bool better =
      message.kind != KernelKind::kNone && (before.kind == KernelKind::kNone || message.facts > before.facts);
  if (!better && !(message.kind == before.kind && GoesOnInPath(before.kind, pending_, text))) return false;
  pending_ = std::move(joined);
  ++pending_joins_;
  if (message.complete) FlushPending();
  return true;
}

bool KernelLog::TakeWhole(std::string_view line, uint32_t number, const Stamp* known) {
  const KernelMessage message = ParseKernelMessage(line);
  const bool incomplete =
      message.kind == KernelKind::kNone ? EndsInsideAnchor(line) : !message.complete || CutsNumber(line);
  if (known == nullptr && incomplete) {
    pending_ = line;
    pending_line_ = number;
    pending_joins_ = 0;
    return message.kind != KernelKind::kNone;
  }
  if (message.kind == KernelKind::kNone) return TakeDetail(line, number, known);
  return Dispatch(message, PositionOf(line.substr(0, message.begin), number, known));
}

bool KernelLog::FlushPending() {
  if (pending_.empty()) return false;
  const std::string line = std::exchange(pending_, {});
  const KernelMessage message = ParseKernelMessage(line);
  if (message.kind == KernelKind::kNone) return false;
  return Dispatch(message, PositionOf(std::string_view(line).substr(0, message.begin), pending_line_, nullptr));
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
      if (message.report.group.empty()) return false;
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

bool KernelLog::TakeDetail(std::string_view line, uint32_t number, const Stamp* known) {
  std::string origin = OriginOf(line);
  if (origin.empty() && known != nullptr) origin = known->origin;
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
  if (TakeTask(line, number, known, context)) return true;
  return context != nullptr && context->phase == kHeader && TakeHostLine(line, &context->report.host);
}

bool KernelLog::TakeTask(std::string_view line, uint32_t number, const Stamp* known, Context* context) {
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
  if (!in_table) context = &Enter(kTasksPhase, PositionOf(line.substr(0, line.rfind('[')), number, known));
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
