#include "tools/evidence/kernel_message.h"

#include <algorithm>
#include <limits>

#include "tools/evidence/kernel_kill.h"
#include "tools/evidence/stamp.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr size_t kNowhere = std::string_view::npos;

// A path at the end of a line, without what a pager or a mail adds there.
std::string_view PathAtEnd(std::string_view text) {
  text = Trim(text);
  while (!text.empty() && (text.back() == '"' || text.back() == ',' || text.back() == '\'')) text.remove_suffix(1);
  return text;
}

// Where the message begins whose first word is not fixed but ends at `end`: behind the stamps.
size_t MessageBegin(std::string_view line, size_t end) {
  const std::string_view before = line.substr(0, end);
  for (const std::string_view mark :
       {"kernel: ", "]: ", "] ", ";", "MESSAGE=", "\"MESSAGE\" : \"", ": kern: ", " - - - ", "} ", "\"", "'"}) {
    const size_t at = before.rfind(mark);
    if (at == kNowhere) continue;
    size_t begin = at + mark.size();
    // "kernel: [  12.3] java": the bracket is the last stamp
    const size_t bracket = before.find("] ", begin);
    if (before.substr(begin).starts_with("[") && bracket != kNowhere) begin = bracket + 2;
    while (begin < end && IsBlank(line[begin])) ++begin;
    return begin;
  }
  std::string_view rest = SkipQuoteMarks(before);
  // A date: "2026-03-03T04:05:06,123456+01:00 java"
  const size_t blank = rest.find(' ');
  if (blank != kNowhere && IsDate(rest.substr(0, blank))) return end - (rest.size() - blank - 1);
  // grep -n and grep -H: "12:java", "dmesg.txt:12:java"
  const size_t colon = rest.rfind(':');
  if (colon != kNowhere) {
    const size_t previous = rest.substr(0, colon).rfind(':');
    const std::string_view number =
        rest.substr(previous == kNowhere ? 0 : previous + 1, colon - (previous == kNowhere ? 0 : previous + 1));
    if (WholeNumber(number) && (previous == kNowhere || !Contains(rest.substr(0, previous), " ")) &&
        !rest.starts_with("kworker")) {
      rest.remove_prefix(colon + 1);
    }
  }
  return end - rest.size();
}

std::string HexToken(std::string_view text) {
  if (!text.starts_with("0x")) return {};
  const size_t end = std::min(text.find_first_not_of("0123456789abcdefABCDEF", 2), text.size());
  return end > 2 ? std::string(text.substr(0, end)) : std::string();
}

std::string_view After(std::string_view text, std::string_view key) {
  const size_t at = text.find(key);
  return at == kNowhere ? std::string_view() : text.substr(at + key.size());
}

std::optional<int> IntAfter(std::string_view text, std::string_view key) {
  std::string_view rest = After(text, key);
  const auto value = ConsumeSigned(&rest);
  if (!value || *value < std::numeric_limits<int>::min() || *value > std::numeric_limits<int>::max())
    return std::nullopt;
  return static_cast<int>(*value);
}

bool ParseInvoked(std::string_view line, KernelMessage* message) {
  const size_t at = line.find(" invoked oom-killer");
  if (at == kNowhere) return false;
  const std::string_view rest = line.substr(at);
  const std::string_view behind = Trim(After(rest, " invoked oom-killer"));
  if (!behind.empty() && behind.front() != ':') return false;  // prose
  message->kind = KernelKind::kInvoked;
  message->begin = MessageBegin(line, at);
  message->report.invoker = line.substr(message->begin, at - message->begin);
  message->report.gfp_mask = HexToken(After(rest, "gfp_mask="));
  message->report.order = IntAfter(rest, "order=");
  message->report.invoker_oom_score_adj = IntAfter(rest, "oom_score_adj=");
  message->facts = 1 + (message->report.gfp_mask.empty() ? 0 : 1) + (message->report.order ? 1 : 0) +
                   (message->report.invoker_oom_score_adj ? 1 : 0);
  message->complete = message->facts == 4;
  return true;
}

// Also "Pid: 1234, comm: java Not tainted 2.6.32-431.el6.x86_64 #1".
bool ParseCpu(std::string_view line, KernelMessage* message) {
  size_t at = line.find(" Comm: ");
  const bool old = at == kNowhere;
  if (old) at = line.find(", comm: ");
  if (at == kNowhere) return false;
  const std::string_view key = old ? "Pid: " : "PID: ";
  const size_t pid_at = line.substr(0, at).rfind(key);
  if (pid_at == kNowhere) return false;
  const auto pid = WholeNumber(Trim(line.substr(pid_at + key.size(), at - pid_at - key.size())));
  if (!pid || *pid > std::numeric_limits<uint32_t>::max()) return false;
  message->kind = KernelKind::kCpu;
  message->begin = pid_at;
  message->report.invoker_pid = static_cast<uint32_t>(*pid);
  const std::string_view rest = line.substr(at);
  const std::string_view before_build = rest.substr(0, rest.find(" #"));
  if (before_build.size() < rest.size() && Contains(Lower(before_build), "tainted")) {
    message->report.kernel = before_build.substr(before_build.rfind(' ') + 1);
  }
  message->facts = 1 + (message->report.kernel.empty() ? 0 : 1);
  message->complete = message->facts == 2;
  return true;
}

bool ParseOverLimit(std::string_view line, KernelMessage* message) {
  constexpr std::string_view kTask = "Task in ";
  constexpr std::string_view kLimit = " killed as a result of limit of ";
  const size_t at = line.find(kTask);
  if (at == kNowhere) return false;
  const std::string_view rest = line.substr(at + kTask.size());
  const size_t limit = rest.find(kLimit);
  if (limit == kNowhere && !Contains(rest, " killed as a") && !rest.starts_with("/")) return false;
  message->kind = KernelKind::kOverLimit;
  message->begin = at;
  if (limit == kNowhere) return true;
  message->report.task_memcg = rest.substr(0, limit);
  message->report.oom_memcg = PathAtEnd(rest.substr(limit + kLimit.size()));
  message->report.scope = OomScope::kMemcg;
  // Nothing marks the end of the path: only the next line shows that this one was wrapped.
  message->facts = 1 + (message->report.oom_memcg.empty() ? 0 : 1);
  return true;
}

struct UsageWord {
  std::string_view text;
  KernelKind kind;
};
// "memory+swap" before "swap", whose text it contains.
constexpr UsageWord kUsageWords[] = {{"memory+swap: usage ", KernelKind::kMemorySwap},
                                     {"memory: usage ", KernelKind::kMemory},
                                     {"kmem: usage ", KernelKind::kKernelMemory},
                                     {"swap: usage ", KernelKind::kSwap}};

bool ParseUsage(std::string_view line, KernelMessage* message) {
  if (!Contains(line, ": usage ")) return false;
  for (const UsageWord& word : kUsageWords) {
    const size_t at = line.find(word.text);
    if (at == kNowhere) continue;
    std::string_view rest = line.substr(at + word.text.size());
    const Number usage = ConsumeNumber(&rest);
    if (!usage || !Consume(&rest, "kB")) return false;
    message->kind = word.kind;
    message->begin = at;
    message->usage.usage_kb = usage;
    message->usage.limit_kb = KilobytesAfter(rest, "limit ");
    std::string_view failures = After(rest, "failcnt ");
    message->usage.failcnt = ConsumeNumber(&failures);
    message->facts = 1 + (message->usage.limit_kb ? 1 : 0) + (message->usage.failcnt ? 1 : 0);
    message->complete = message->facts == 3;
    return true;
  }
  return false;
}

// " cache:0KB rss:44KB mapped_file:0KB"
void ParseInlineStats(std::string_view text, NamedNumbers* values) {
  for (const std::string_view word : SplitWords(text)) {
    const size_t colon = word.find(':');
    if (colon == kNowhere) continue;
    std::string_view rest = word.substr(colon + 1);
    const auto value = ConsumeNumber(&rest);
    if (value && rest.starts_with("KB")) values->all.emplace_back(word.substr(0, colon), *value);
  }
}

bool ParseStats(std::string_view line, KernelMessage* message) {
  constexpr std::string_view kStats = "Memory cgroup stats for";
  const size_t at = line.find(kStats);
  if (at == kNowhere) return false;
  message->kind = KernelKind::kStats;
  message->begin = at;
  std::string_view rest = line.substr(at + kStats.size());
  ConsumeBlanks(&rest);
  const size_t values = rest.find(": cache:");
  if (values != kNowhere) {
    message->stats.in_kb = true;
    ParseInlineStats(rest.substr(values + 1), &message->stats.values);
    message->facts = 2 + static_cast<int>(message->stats.values.all.size());
    rest = rest.substr(0, values);
    message->complete = message->stats.values.Find("unevictable").has_value();
  } else {
    rest = PathAtEnd(rest);
    message->complete = rest.ends_with(':');
    if (message->complete) rest.remove_suffix(1);
    message->facts = (rest.empty() ? 0 : 1) + (message->complete ? 1 : 0);
  }
  message->stats.path = rest;
  return true;
}

bool ParseGroup(std::string_view line, KernelMessage* message) {
  constexpr std::string_view kTasks = "Tasks in ";
  const size_t at = line.find(kTasks);
  if (at == kNowhere || !line.substr(at + kTasks.size()).starts_with('/')) return false;
  message->kind = KernelKind::kGroup;
  message->begin = at;
  const auto path = Between(line, kTasks, " are going to be killed due to memory.oom.group");
  if (!path) return true;
  message->report.group = *path;
  message->complete = true;
  message->facts = 1;
  return true;
}

constexpr std::string_view kAnchors[] = {"Memory cgroup out of memory: Killed process ",
                                         "Memory cgroup out of memory: Kill process ",
                                         "Out of memory: Killed process ",
                                         "Out of memory: Kill process ",
                                         "(oom_kill_allocating_task): Killed process ",
                                         "(oom_kill_allocating_task): Kill process ",
                                         "oom-kill:constraint=",
                                         " invoked oom-killer: gfp_mask=",
                                         "Memory cgroup stats for ",
                                         "Tasks in /",
                                         "Task in /"};

}  // namespace

KernelMessage ParseKernelMessage(std::string_view line) {
  KernelMessage message;
  using Parser = bool (*)(std::string_view, KernelMessage*);
  constexpr Parser kParsers[] = {ParseKilled, ParseSummary, ParseChosen,    ParseInvoked, ParseUsage,
                                 ParseStats,  ParseCpu,     ParseOverLimit, ParseGroup,   ParseReaped};
  for (const Parser parse : kParsers) {
    if (parse(line, &message)) return message;
    message.kind = KernelKind::kNone;
  }
  return message;
}

bool EndsInsideAnchor(std::string_view line) {
  constexpr size_t kLeast = 6;  // "Out of", "Memory"
  for (const std::string_view anchor : kAnchors) {
    const std::string_view tail = line.substr(line.size() - std::min(anchor.size(), line.size()));
    const std::string_view head = anchor.substr(0, kLeast);
    for (size_t at = tail.find(head); at != kNowhere; at = tail.find(head, at + 1)) {
      if (anchor.starts_with(tail.substr(at))) return true;
    }
  }
  return false;
}

std::optional<std::pair<std::string_view, uint64_t>> ParseStatLine(std::string_view line) {
  constexpr std::string_view kQuotes = "\"'`";  // of a table, a document, Markdown
  line = Trim(line);
  while (!line.empty() && (Contains(kQuotes, line.substr(line.size() - 1)) || line.back() == ','))
    line.remove_suffix(1);
  const size_t blank = line.find_last_of(" \t");
  if (blank == kNowhere) return std::nullopt;
  const auto value = WholeNumber(line.substr(blank + 1));
  if (!value) return std::nullopt;
  const std::string_view before = Trim(line.substr(0, blank));
  const size_t begin = before.find_last_of(" \t;=\"'`") + 1;  // npos + 1 is 0
  const std::string_view name = before.substr(begin);
  const bool is_name = !name.empty() && name[0] >= 'a' && name[0] <= 'z' &&
                       name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == kNowhere;
  if (!is_name) return std::nullopt;
  // Between words of prose there is only a blank.
  const std::string_view prefix = Trim(before.substr(0, begin));
  const bool after_stamp = prefix.empty() || Contains(":];=-}\"'`", prefix.substr(prefix.size() - 1)) ||
                           SkipQuoteMarks(prefix).empty() || IsDate(prefix);
  return after_stamp ? std::optional(std::pair(name, *value)) : std::nullopt;
}

}  // namespace memtrace::tools
