// From messages to reports and kills: what belongs together.
#include <algorithm>
#include <string>

#include "tools/evidence/kernel_log.h"

namespace memtrace::tools {
namespace {

// Lines of one report are printed at once, but a serial console takes its time; others may write in between.
constexpr double kLongestPause_s = 10;
constexpr uint32_t kMostLinesBetween = 20000;
constexpr size_t kMostOrigins = 64;
constexpr size_t kMostReaped = 100000;

bool Contradict(OomScope a, OomScope b) { return a != OomScope::kUnknown && b != OomScope::kUnknown && a != b; }

// The decision and the limit that was hit are common to all who are killed for it; only the chosen one is known to
// have lived in task_memcg.
void FillFromReport(const OomReport& report, bool is_member, OomKill* kill) {
  if (kill->scope == OomScope::kUnknown) kill->scope = report.scope;
  if (kill->scope == OomScope::kUnknown && report.memory.usage_kb) kill->scope = OomScope::kMemcg;
  if (!is_member) kill->task_memcg = report.task_memcg;
  if (kill->scope == OomScope::kMemcg) {
    kill->oom_memcg = report.oom_memcg;
    kill->usage_kb = report.memory.usage_kb;
    kill->limit_kb = report.memory.limit_kb;
  }
  kill->container_id = ContainerIdOf(kill->task_memcg);
  if (kill->container_id.empty()) kill->container_id = ContainerIdOf(kill->oom_memcg);
}

// The first kernels that wrote pgtables (5.4.0 to 5.4.10) wrote bytes and "kB" behind them; the table knows better.
void CorrectPageTables(const OomReport& report, OomKill* kill) {
  if (!kill->pgtables_kb) return;
  for (const TaskRow& row : report.tasks) {
    if (row.pid == kill->pid && row.pgtables_bytes == kill->pgtables_kb && *kill->pgtables_kb >= 4096)
      kill->pgtables_kb = *kill->pgtables_kb / 1024;
  }
}

}  // namespace

KernelLog::Context* KernelLog::Find(const std::string& origin) {
  const auto found = contexts_.find(origin);
  return found == contexts_.end() ? nullptr : &found->second;
}

bool KernelLog::IsStale(const Context& context, const Position& position) const {
  if (position.line - context.last_line > kMostLinesBetween) return true;
  if (!context.last_s || !position.stamp.clock_s) return false;
  const double pause = *position.stamp.clock_s - *context.last_s;
  return pause > kLongestPause_s || pause < -kLongestPause_s;
}

KernelLog::Context& KernelLog::Enter(Phase phase, const Position& position) {
  const std::string& origin = position.stamp.origin;
  Context* context = Find(origin);
  // The header is printed once, and a second killed process is a member of a group or a case of its own.
  const bool goes_on =
      context != nullptr && !IsStale(*context, position) && phase >= context->phase && phase != kHeader;
  if (!goes_on) {
    if (context != nullptr) {
      Close(context);
      contexts_.erase(origin);
    } else if (contexts_.size() >= kMostOrigins) {
      for (auto& [name, other] : contexts_) Close(&other);
      contexts_.clear();
    }
    context = &contexts_[origin];
    context->report.place = {file_, position.line};
    context->report.time = position.stamp.moment;
  }
  context->phase = phase;
  context->last_line = position.line;
  if (position.stamp.clock_s) context->last_s = position.stamp.clock_s;
  last_origin_ = origin;
  return *context;
}

void KernelLog::TakeOverLimit(const KernelMessage& message, const Position& position) {
  Context* open = Find(position.stamp.origin);
  const bool goes_on = open != nullptr && open->phase == kHeader && !IsStale(*open, position);
  Context& context = goes_on ? *open : Enter(kHeader, position);
  context.report.scope = OomScope::kMemcg;
  context.report.oom_memcg = message.report.oom_memcg;
  context.report.task_memcg = message.report.task_memcg;
  context.last_line = position.line;
}

void KernelLog::TakeUsage(const KernelMessage& message, UsageLine OomReport::*which, const Position& position) {
  Context* open = Find(position.stamp.origin);
  if (open != nullptr && (open->report.*which).usage_kb) {  // a second one: of another report
    Close(open);
    contexts_.erase(position.stamp.origin);
  }
  Enter(kUsagePhase, position).report.*which = message.usage;
}

void KernelLog::TakeStats(const KernelMessage& message, const Position& position) {
  constexpr size_t kMostGroups = 1024;
  Context& context = Enter(kStatsPhase, position);
  context.in_stats = !message.stats.in_kb;
  if (context.report.stats.size() >= kMostGroups) {
    context.in_stats = false;
    return;
  }
  context.report.stats.push_back(message.stats);
  context.report.stats.back().place = {file_, position.line};
}

void KernelLog::TakeSummary(const KernelMessage& message, const Position& position) {
  Context* open = Find(position.stamp.origin);
  const bool second = open != nullptr && open->summary && open->summary->pid != message.kill.pid;
  const bool contradicts = open != nullptr && Contradict(open->report.scope, message.report.scope);
  if (second || contradicts) {
    Close(open);
    contexts_.erase(position.stamp.origin);
  }
  Context& context = Enter(kSummaryPhase, position);
  OomReport& report = context.report;
  const OomReport& read = message.report;
  report.constraint = read.constraint;
  report.nodemask = read.nodemask;
  report.cpuset = read.cpuset;
  report.scope = read.scope;
  report.oom_memcg = read.oom_memcg;
  report.task_memcg = read.task_memcg;
  if (message.kill.pid == 0) return;  // cut before it
  context.summary = message.kill;
  context.summary->lines = kLineSummary;
  context.summary->place = {file_, position.line};
  context.summary->time = position.stamp.moment;
}

void KernelLog::TakeChosen(const KernelMessage& message, const Position& position) {
  if (message.kill.pid == 0) return;  // cut before it
  Context* open = Find(position.stamp.origin);
  if (open != nullptr && (open->chosen || Contradict(open->report.scope, message.kill.scope))) {
    Close(open);
    contexts_.erase(position.stamp.origin);
  }
  Context& context = Enter(kChosenPhase, position);
  context.chosen = message.kill;
  context.chosen->lines = kLineChosen;
  context.chosen->place = {file_, position.line};
  context.chosen->time = position.stamp.moment;
}

bool KernelLog::TakeKilled(const KernelMessage& message, const Position& position) {
  const std::string& origin = position.stamp.origin;
  Context* open = Find(origin);
  if (open != nullptr && IsStale(*open, position)) open = nullptr;
  const bool from_kernel = position.stamp.moment.uptime_s || !origin.empty() || (open != nullptr && open->chosen);
  if (message.kill.pid == 0 || (message.alone && !from_kernel)) return false;
  OomKill kill = message.kill;
  kill.lines = kLineKilled;
  kill.times_logged = 1;
  kill.place = {file_, position.line};
  kill.time = position.stamp.moment;

  const bool follows = open != nullptr && !open->report.kills.empty();
  const bool is_member = follows && !open->report.group.empty();
  const bool other_victim = open != nullptr && open->summary && open->summary->pid != kill.pid &&
                            !(open->chosen && open->chosen->pid == open->summary->pid);
  const bool contradicts = open != nullptr && Contradict(open->report.scope, kill.scope);
  if ((follows && !is_member) || other_victim || contradicts) {
    Close(open);
    contexts_.erase(origin);
  }
  Context& context = Enter(kKilledPhase, position);
  if (context.summary) {
    if (context.summary->pid == kill.pid) {
      if (kill.comm.empty()) kill.comm = context.summary->comm;
      if (!kill.uid) kill.uid = context.summary->uid;
      kill.reaped = context.summary->reaped;
    }
    kill.lines |= kLineSummary;
    context.summary.reset();
  }
  if (context.chosen) {
    kill.chosen_pid = context.chosen->pid;
    kill.score = context.chosen->score;
    if (kill.scope == OomScope::kUnknown) kill.scope = context.chosen->scope;
    kill.lines |= kLineChosen;
    context.chosen.reset();
  }
  Emit(std::move(kill), is_member, &context);
  return true;
}

void KernelLog::TakeReaped(uint32_t pid, const Position& position) {
  Context* open = Find(position.stamp.origin);
  if (open != nullptr && open->summary && open->summary->pid == pid) open->summary->reaped = true;
  kills_.MarkReaped(pid);
  if (evidence_.reaped_pids.size() < kMostReaped) evidence_.reaped_pids.push_back(pid);
}

void KernelLog::Emit(OomKill kill, bool is_member, Context* context) {
  OomReport& report = context->report;
  if (report.scope == OomScope::kUnknown) report.scope = kill.scope;
  FillFromReport(report, is_member, &kill);
  CorrectPageTables(report, &kill);
  const std::optional<uint32_t> index = kills_.Add(std::move(kill));
  if (index && std::find(report.kills.begin(), report.kills.end(), *index) == report.kills.end())
    report.kills.push_back(*index);
}

// Processes that were named but whose "Killed process" line is missing: the kernel announces only what it then does.
void KernelLog::EmitWaiting(Context* context) {
  std::optional<OomKill> kill = std::move(context->summary);
  if (kill && context->chosen) {
    kill->chosen_pid = context->chosen->pid;
    kill->score = context->chosen->score;
    kill->lines |= kLineChosen;
  } else if (!kill) {
    kill = std::move(context->chosen);
  }
  context->summary.reset();
  context->chosen.reset();
  if (kill) Emit(std::move(*kill), false, context);
}

void KernelLog::Close(Context* context) {
  EmitWaiting(context);
  OomReport& report = context->report;
  const bool says_something = !report.invoker.empty() || report.memory.usage_kb || !report.stats.empty() ||
                              !report.tasks.empty() || !report.kills.empty() || !report.oom_memcg.empty();
  // The same report in another log: its kills are known and have theirs.
  const bool is_copy =
      !report.kills.empty() && std::all_of(report.kills.begin(), report.kills.end(),
                                           [&](uint32_t kill) { return evidence_.kills[kill].report.has_value(); });
  if (!says_something || is_copy) return;
  if (evidence_.reports.size() >= kMostReports) {
    ++left_out_;
    return;
  }
  const auto index = static_cast<uint32_t>(evidence_.reports.size());
  for (const uint32_t kill : report.kills) {
    if (!evidence_.kills[kill].report) evidence_.kills[kill].report = index;
  }
  evidence_.reports.push_back(std::move(report));
}

}  // namespace memtrace::tools
