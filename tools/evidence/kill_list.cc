#include "tools/evidence/kill_list.h"

#include <cmath>

namespace memtrace::tools {
namespace {

bool SameComm(const std::string& a, const std::string& b) {
  return a.empty() || b.empty() || a.starts_with(b) || b.starts_with(a);  // a cut line has the beginning
}

// Where both say something, do they say the same?
template <typename T>
bool Agree(const std::optional<T>& a, const std::optional<T>& b) {
  return !a || !b || *a == *b;
}

bool SameNumbers(const OomKill& a, const OomKill& b) {
  return a.total_vm_kb && b.total_vm_kb && *a.total_vm_kb == *b.total_vm_kb && Agree(a.anon_rss_kb, b.anon_rss_kb) &&
         Agree(a.file_rss_kb, b.file_rss_kb);
}

// Numbers of processes are used again, but hardly by a program of the same name that is killed, too, within this time.
constexpr double kSameKill_s = 60;

bool SameKill(const OomKill& a, const OomKill& b) {
  if (!SameComm(a.comm, b.comm)) return false;
  if (SameNumbers(a, b)) return true;
  if (!a.task_memcg.empty() && !b.task_memcg.empty() && a.task_memcg != b.task_memcg) return false;
  if (a.time.unix_ns && b.time.unix_ns) {
    return std::abs(static_cast<double>(*a.time.unix_ns) - static_cast<double>(*b.time.unix_ns)) <= kSameKill_s * 1e9;
  }
  if (a.time.uptime_s && b.time.uptime_s) return std::abs(*a.time.uptime_s - *b.time.uptime_s) <= kSameKill_s;
  return true;
}

template <typename T>
void Fill(std::optional<T>* known, const std::optional<T>& more) {
  if (!*known) *known = more;
}
void Fill(std::string* known, const std::string& more) {
  if (known->empty()) *known = more;
}

// The better a line names the process, the larger.
unsigned Rank(unsigned lines) { return (lines & kLineKilled) != 0 ? 3 : (lines & kLineSummary) != 0 ? 2 : 1; }

void Merge(OomKill more, OomKill* kill) {
  if (Rank(more.lines) > Rank(kill->lines)) kill->place = more.place;
  if (more.comm.size() > kill->comm.size()) kill->comm = more.comm;
  Fill(&kill->time.unix_ns, more.time.unix_ns);
  Fill(&kill->time.uptime_s, more.time.uptime_s);
  Fill(&kill->time.text, more.time.text);
  Fill(&kill->report, more.report);
  if (kill->scope == OomScope::kUnknown) kill->scope = more.scope;
  kill->lines |= more.lines;
  kill->times_logged += more.times_logged;
  Fill(&kill->chosen_pid, more.chosen_pid);
  Fill(&kill->score, more.score);
  Fill(&kill->total_vm_kb, more.total_vm_kb);
  Fill(&kill->anon_rss_kb, more.anon_rss_kb);
  Fill(&kill->file_rss_kb, more.file_rss_kb);
  Fill(&kill->shmem_rss_kb, more.shmem_rss_kb);
  Fill(&kill->pgtables_kb, more.pgtables_kb);
  Fill(&kill->uid, more.uid);
  Fill(&kill->oom_score_adj, more.oom_score_adj);
  if (kill->scope != OomScope::kGlobal) {  // the limit of a group did not kill for the host
    Fill(&kill->usage_kb, more.usage_kb);
    Fill(&kill->limit_kb, more.limit_kb);
    Fill(&kill->oom_memcg, more.oom_memcg);
  }
  Fill(&kill->task_memcg, more.task_memcg);
  Fill(&kill->container_id, more.container_id);
}

}  // namespace

KillList::KillList(Evidence* evidence) : evidence_(*evidence) {
  for (uint32_t i = 0; i < evidence_.kills.size(); ++i) by_pid_[evidence_.kills[i].pid].push_back(i);
}

std::optional<uint32_t> KillList::Add(OomKill kill) {
  std::vector<uint32_t>& same_pid = by_pid_[kill.pid];
  for (auto index = same_pid.rbegin(); index != same_pid.rend(); ++index) {
    if (!SameKill(evidence_.kills[*index], kill)) continue;
    Merge(std::move(kill), &evidence_.kills[*index]);
    return *index;
  }
  if (evidence_.kills.size() >= kMostKills) {
    ++left_out_;
    return std::nullopt;
  }
  const auto index = static_cast<uint32_t>(evidence_.kills.size());
  same_pid.push_back(index);
  evidence_.kills.push_back(std::move(kill));
  return index;
}

void KillList::MarkReaped(uint32_t pid) {
  const auto found = by_pid_.find(pid);
  if (found == by_pid_.end() || found->second.empty()) return;
  evidence_.kills[found->second.back()].reaped = true;
}

}  // namespace memtrace::tools
