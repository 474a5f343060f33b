#include "tools/evidence/kernel_kill.h"

#include <algorithm>
#include <limits>

#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr size_t kNowhere = std::string_view::npos;

std::optional<uint32_t> ConsumeId(std::string_view* text) {
  std::string_view rest = *text;
  const auto value = ConsumeNumber(&rest);
  if (!value || *value > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  *text = rest;
  return static_cast<uint32_t>(*value);
}

OomScope ScopeOfPrefix(std::string_view before) {
  if (Contains(before, "emory cgroup out of memory")) return OomScope::kMemcg;
  // 2.6.9 to 2.6.18 wrote "Out of Memory". In lower case it may be the end of a wrapped "Memory cgroup".
  return Contains(before, "Out of memory") || Contains(before, "Out of Memory") ? OomScope::kGlobal
                                                                                : OomScope::kUnknown;
}

size_t BeginOfPrefix(std::string_view line, size_t at) {
  for (const std::string_view prefix : {"Memory cgroup out of memory", "Out of memory", "Out of Memory"}) {
    const size_t begin = line.substr(0, at).rfind(prefix);
    if (begin != kNowhere) return begin;
  }
  return at;
}

// "(comm)" in front of one of `followers`, else of the line's end. The comm may hold parentheses itself. Nothing if
// there is no closing one; then what is there is the comm, but for a pager's mark.
struct Comm {
  std::string_view text;
  std::string_view rest;  // behind the closing parenthesis
  bool closed = false;
};
std::optional<Comm> ParseComm(std::string_view text, std::initializer_list<std::string_view> followers) {
  ConsumeBlanks(&text);
  if (!Consume(&text, "(")) return std::nullopt;
  size_t end = kNowhere;
  for (const std::string_view follower : followers) end = std::min(end, text.find(follower));
  if (end == kNowhere) end = text.rfind(')');
  if (end != kNowhere) return Comm{text.substr(0, end), text.substr(end + 1), true};
  text = Trim(text);
  while (!text.empty() && (text.back() == '>' || text.back() == '"')) text.remove_suffix(1);
  if (text.ends_with("\xe2\x80\xa6")) text.remove_suffix(3);  // an ellipsis
  return Comm{text, {}, false};
}

void ParseMemory(std::string_view text, OomKill* kill) {
  kill->total_vm_kb = KilobytesAfter(text, "total-vm:");
  if (!kill->total_vm_kb) kill->total_vm_kb = KilobytesAfter(text, "vsz:");  // 2.6.33 and 2.6.34
  kill->anon_rss_kb = KilobytesAfter(text, "anon-rss:");
  kill->file_rss_kb = KilobytesAfter(text, "file-rss:");
  kill->shmem_rss_kb = KilobytesAfter(text, "shmem-rss:");
  kill->pgtables_kb = KilobytesAfter(text, "pgtables:");
}

int CountFacts(const OomKill& kill) {
  int facts = 0;
  for (const Number& number :
       {kill.total_vm_kb, kill.anon_rss_kb, kill.file_rss_kb, kill.shmem_rss_kb, kill.pgtables_kb})
    facts += number ? 1 : 0;
  return facts + (kill.uid ? 1 : 0) + (kill.oom_score_adj ? 1 : 0) + (kill.score ? 1 : 0) +
         (kill.comm.empty() ? 0 : 1) + (kill.scope == OomScope::kUnknown ? 0 : 1);
}

// ", UID 679," of Red Hat, before or behind the name
void ConsumeUid(std::string_view* text, OomKill* kill) {
  std::string_view rest = *text;
  ConsumeBlanks(&rest);
  if (!Consume(&rest, ",")) return;
  ConsumeBlanks(&rest);
  if (!Consume(&rest, "UID ")) return;
  kill->uid = ConsumeId(&rest);
  Consume(&rest, ",");
  *text = rest;
}

}  // namespace

Number KilobytesAfter(std::string_view text, std::string_view key) {
  const size_t at = text.find(key);
  if (at == kNowhere) return std::nullopt;
  text.remove_prefix(at + key.size());
  const Number value = ConsumeNumber(&text);
  return value && text.starts_with("kB") ? value : std::nullopt;
}

bool ParseKilled(std::string_view line, KernelMessage* message) {
  constexpr std::string_view kKilled = "Killed process";
  const size_t at = line.find(kKilled);
  if (at == kNowhere) return false;
  const std::string_view before = line.substr(0, at);
  OomKill& kill = message->kill;
  kill.scope = ScopeOfPrefix(before);
  message->begin = BeginOfPrefix(line, at);
  std::string_view rest = line.substr(at + kKilled.size());
  ConsumeBlanks(&rest);
  const auto pid = ConsumeId(&rest);
  if (!pid) {
    // Wrapped before the number; otherwise it is prose.
    if (!rest.empty() || kill.scope == OomScope::kUnknown) return false;
    message->kind = KernelKind::kKilled;
    return true;
  }
  kill.pid = *pid;
  ConsumeUid(&rest, &kill);
  const auto comm = ParseComm(rest, {") total-vm:", "), UID ", ") vsz:", "),total-vm:", ")total-vm:"});
  if (comm) {
    kill.comm = comm->text;
    rest = comm->rest;
    if (comm->closed) ConsumeUid(&rest, &kill);
    ParseMemory(rest, &kill);
    const size_t uid = rest.find("UID:");
    if (uid != kNowhere) {
      std::string_view digits = rest.substr(uid + 4);
      kill.uid = ConsumeId(&digits);
    }
    const size_t adj = rest.find("oom_score_adj:");
    if (adj != kNowhere) {
      std::string_view number = rest.substr(adj + 14);
      const auto value = ConsumeSigned(&number);
      if (value && *value >= -1000 && *value <= 1000) kill.oom_score_adj = static_cast<int>(*value);
    }
  } else if (Trim(rest).empty()) {
    kill.pid = 0;  // it may have been cut, too
    kill.uid.reset();
  } else {
    return false;  // "Killed process 12 because ..."
  }
  const bool has_numbers = kill.total_vm_kb || kill.anon_rss_kb || kill.uid;
  message->kind = KernelKind::kKilled;
  message->facts = 1 + CountFacts(kill);
  message->complete = kill.oom_score_adj.has_value();
  message->alone = kill.scope == OomScope::kUnknown && !has_numbers;
  return true;
}

bool ParseChosen(std::string_view line, KernelMessage* message) {
  constexpr std::string_view kKill = "ill process ";
  const size_t at = line.find(kKill);
  if (at == kNowhere || at == 0 || (line[at - 1] != 'K' && line[at - 1] != 'k')) return false;
  const OomScope scope = ScopeOfPrefix(line.substr(0, at));
  std::string_view rest = line.substr(at + kKill.size());
  const auto pid = ConsumeId(&rest);
  const auto comm = pid ? ParseComm(rest, {") score "}) : std::nullopt;
  if (Trim(rest).empty() && scope != OomScope::kUnknown) {  // wrapped
    message->kind = KernelKind::kChosen;
    return true;
  }
  if (!comm || comm->text.empty()) return false;
  std::string_view score = comm->rest;
  ConsumeBlanks(&score);
  if (Consume(&score, "score ")) message->kill.score = ConsumeId(&score);
  ConsumeBlanks(&score);
  if (std::string_view("score ").starts_with(score)) score = {};  // wrapped within it
  // "... sharing same memory" names a bystander. Without the score, only the prefix makes it the kernel's.
  if (!message->kill.score && (scope == OomScope::kUnknown || !score.empty())) return false;
  message->kind = KernelKind::kChosen;
  message->begin = BeginOfPrefix(line, at - 1);
  message->kill.scope = scope;
  message->kill.pid = *pid;
  message->kill.chosen_pid = *pid;
  message->kill.comm = comm->text;
  message->facts = 1 + CountFacts(message->kill);
  message->complete = score.starts_with("or ") || score.starts_with("and ");
  return true;
}

bool ParseSummary(std::string_view line, KernelMessage* message) {
  constexpr std::string_view kSummary = "oom-kill:constraint=";
  const size_t at = line.find(kSummary);
  if (at == kNowhere) return false;
  const std::string_view rest = line.substr(at + kSummary.size() - std::string_view("constraint=").size());
  OomReport& report = message->report;
  const auto take = [&](std::string_view begin, std::string_view end, std::string* value) {
    const auto text = Between(rest, begin, end);
    if (!text) return;
    *value = Trim(*text);
    ++message->facts;
  };
  message->kind = KernelKind::kSummary;
  message->begin = at;
  take("constraint=", ",", &report.constraint);
  take("nodemask=", ",cpuset=", &report.nodemask);
  take("cpuset=", ",mems_allowed=", &report.cpuset);
  take("oom_memcg=", ",task_memcg=", &report.oom_memcg);
  take("task_memcg=", ",task=", &report.task_memcg);
  if (!report.oom_memcg.empty() || report.constraint == "CONSTRAINT_MEMCG") {
    report.scope = OomScope::kMemcg;
  } else if (Contains(rest, ",global_oom") || !report.constraint.empty()) {
    report.scope = OomScope::kGlobal;
  }
  // The name may hold commas: the numbers are found from the end.
  const size_t task = rest.find(",task=");
  const size_t pid_at = rest.rfind(",pid=");
  if (task == kNowhere || pid_at == kNowhere || pid_at < task) return true;
  std::string_view tail = rest.substr(pid_at + 5);
  const auto pid = ConsumeId(&tail);
  if (!pid || !Consume(&tail, ",uid=")) return true;
  message->kill.pid = *pid;
  message->kill.comm = rest.substr(task + 6, pid_at - task - 6);
  message->kill.uid = ConsumeId(&tail);
  message->facts += 3;
  message->complete = message->kill.uid.has_value();
  return true;
}

bool ParseReaped(std::string_view line, KernelMessage* message) {
  constexpr std::string_view kReaped = "oom_reaper: reaped process ";
  const size_t at = line.find(kReaped);
  if (at == kNowhere) return false;
  std::string_view rest = line.substr(at + kReaped.size());
  const auto pid = ConsumeId(&rest);
  if (!pid) return false;
  message->kind = KernelKind::kReaped;
  message->begin = at;
  message->kill.pid = *pid;
  message->facts = 1;
  message->complete = true;
  return true;
}

}  // namespace memtrace::tools
