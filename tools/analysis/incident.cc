#include "tools/analysis/incident.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "tools/common/numbers.h"
#include "tools/common/quantity.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr size_t kShortIdDigits = 12;  // which docker makes the hostname
constexpr size_t kCommBytes = 15;      // TASK_COMM_LEN less its NUL
constexpr int kSigkillStatus = 137;

std::string LineOf(const std::string& text, std::string_view key) {
  const size_t at = text.rfind('\n' + std::string(key)) + 1;
  if (text.compare(at, key.size(), key) != 0) return "";
  const size_t begin = text.find_first_not_of(" \t", at + key.size());
  const size_t end = std::min(text.find('\n', at), text.size());
  return begin < end ? text.substr(begin, end - begin) : "";
}

bool IsHex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

// Of two ids one may be shortened.
bool SameId(std::string_view a, std::string_view b) {
  const size_t common = std::min(a.size(), b.size());
  return common >= kShortIdDigits && a.substr(0, common) == b.substr(0, common);
}

bool IsBelow(std::string_view path, std::string_view ancestor) {
  return path.size() > ancestor.size() && path.starts_with(ancestor) &&
         (ancestor.ends_with('/') || path[ancestor.size()] == '/');
}

// A container whose own cgroup has others inside it (systemd in a container) is still bounded by its own limit.
LimitOwner OwnerOf(const OomKill& kill) {
  if (kill.scope == OomScope::kGlobal) return LimitOwner::kHost;
  if (kill.oom_memcg.empty() || kill.task_memcg.empty()) return LimitOwner::kUnknown;
  const std::string id = ContainerIdOf(kill.oom_memcg);
  if (!IsBelow(kill.task_memcg, kill.oom_memcg) || (!id.empty() && id == ContainerIdOf(kill.task_memcg)))
    return LimitOwner::kContainer;
  return LimitOwner::kAncestor;
}

// The limit that the runtime was told is larger than the one that was hit: another one was.
LimitOwner OwnerByDeclaration(const Incident& incident) {
  const OomKill* kill = incident.kill;
  if (kill == nullptr || !kill->limit_kb) return LimitOwner::kUnknown;
  Number declared;
  if (incident.state != nullptr) declared = incident.state->limits.memory_bytes;
  if (!declared && incident.declared != nullptr) declared = incident.declared->limits.memory_bytes;
  if (!declared || *declared == 0) return LimitOwner::kUnknown;
  return *kill->limit_kb * 1024 < *declared ? LimitOwner::kAncestor : LimitOwner::kContainer;
}

// Clocks of logs differ, and those of the kernel's stamps are not those of its other times.
constexpr double kClockSlackS = 60;

// How old the process was at the kill, in seconds.
std::optional<double> AgeAt(const OomKill& kill, const ProcessIdentity& process) {
  if (kill.time.unix_ns && process.started_ns != 0)
    return (static_cast<double>(*kill.time.unix_ns) - static_cast<double>(process.started_ns)) / 1e9;
  if (kill.time.uptime_s && process.started_uptime_s) return *kill.time.uptime_s - *process.started_uptime_s;
  return std::nullopt;
}

bool Ended(const ContainerState& state) {
  return state.oom_killed.value_or(false) || state.exit_code.value_or(0) != 0 || state.status == "exited" ||
         state.status == "terminated" || state.running == false;
}

bool FlagsOom(const ContainerState& state) {
  std::string letters;  // "OOMKilled", "OOM Killed"
  for (const char c : state.reason) {
    if (c != ' ') letters += c;
  }
  return state.oom_killed.value_or(false) || letters == "OOMKilled";
}

class Finder {
 public:
  Finder(const Evidence& evidence, const ProcessIdentity& process) : evidence_(evidence), process_(process) {}

  Incident Find() {
    FindState();
    incident_.has_subject = process_.known || !id_.empty();
    incident_.container_id = process_.known ? process_.container_id : id_;
    incident_.cgroup_path = process_.cgroup_path;
    FindKill();
    if (id_.empty() && incident_.kill != nullptr) id_ = incident_.kill->container_id;
    FindCgroup();
    FindDeclared();
    FindNotices();
    incident_.owner = incident_.kill != nullptr ? OwnerOf(*incident_.kill) : LimitOwner::kUnknown;
    if (incident_.owner == LimitOwner::kUnknown) incident_.owner = OwnerByDeclaration(incident_);
    SayKernel();
    SayCounters();
    SayEvents();
    SayState();
    ChooseParts();
    return incident_;
  }

 private:
  template <typename... Values>
  void Say(Place place, fmt::format_string<Values...> format, Values&&... values) {
    incident_.signs.push_back(evidence_.Where(place) + ": " + fmt::format(format, std::forward<Values>(values)...));
  }
  // What logs repeat.
  void SayOnce(Place place, std::string text) {
    if (!repeated_.insert(text).second) return;
    incident_.signs.push_back(evidence_.Where(place) + ": " + std::move(text));
  }
  void Prove(Proof proof) { incident_.proof = std::max(incident_.proof, proof); }
  bool ConcernsUs(std::string_view id) const { return id_.empty() || id.empty() || SameId(id, id_); }

  void FindState() {
    id_ = process_.container_id;
    const ContainerState* best = nullptr;
    for (const ContainerState& state : evidence_.containers) {
      if (!ConcernsUs(state.id)) continue;
      // The one that died tells more than one that runs; of equal ones the later.
      const auto rank = [](const ContainerState& s) { return (FlagsOom(s) ? 2 : 0) + (Ended(s) ? 1 : 0); };
      if (best == nullptr || rank(state) >= rank(*best)) best = &state;
    }
    incident_.state = best;
    if (best != nullptr && id_.empty()) id_ = best->id;
  }

  void FindKill() {
    int best = 0;
    for (const OomKill& kill : evidence_.kills) {
      int match = process_.known ? MatchKill(kill, process_) : 1;
      // Without a recording: that of the container which the runtime's state is about, then the newest.
      if (!process_.known && incident_.state != nullptr && !id_.empty())
        match += SameId(kill.container_id, id_) ? 2 : 0;
      // In a storm of kills the kernel reports only some; those say why.
      if (!process_.known && kill.usage_kb) ++match;
      if (match == 0 || match < best) continue;
      // Of a service that is killed again and again, the kill that comes soonest after what was recorded last.
      if (match == best && process_.known && Distance(kill) > Distance(*incident_.kill)) continue;
      best = match;
      incident_.kill = &kill;
    }
    const OomKill* around = incident_.kill;
    // Another process was killed for the same limit: the memory of that moment is known all the same.
    if (around == nullptr && !process_.ended_well) {
      for (const OomKill& kill : evidence_.kills) {
        if (process_.known && incident_.Concerns(kill)) around = &kill;
      }
      incident_.other_was_killed = around != nullptr;
    }
    if (around != nullptr && around->report && *around->report < evidence_.reports.size())
      incident_.report = &evidence_.reports[*around->report];
  }

  double Distance(const OomKill& kill) const {
    const double life = static_cast<double>(Excess(process_.end_ns, process_.started_ns)) / 1e9;
    return std::abs(AgeAt(kill, process_).value_or(life) - life);
  }

  void FindCgroup() {
    for (const CgroupFiles& files : evidence_.cgroups) {
      const std::string id = ContainerIdOf(files.path);
      if (!ConcernsUs(id)) continue;
      const bool named = incident_.cgroup != nullptr && !incident_.cgroup->path.empty() && files.path.empty();
      if (!named) incident_.cgroup = &files;
    }
  }

  void FindDeclared() {
    for (const DeclaredLimits& limits : evidence_.declared) {
      const bool named = incident_.state != nullptr && !limits.name.empty() && limits.name == incident_.state->name;
      if (incident_.declared == nullptr || named) incident_.declared = &limits;
    }
  }

  void FindNotices() {
    for (const Notice& notice : evidence_.notices) {
      if (notice.kind == NoticeKind::kUserSpaceKiller || notice.kind == NoticeKind::kEviction)
        incident_.notice = &notice;
      if (notice.kind == NoticeKind::kEvictionReason) incident_.evicted_for = notice.subject;
    }
  }

  void SayKernel() {
    if (incident_.kill != nullptr) {
      const OomKill& kill = *incident_.kill;
      const char* scope = kill.scope == OomScope::kMemcg    ? ", in a memory cgroup"
                          : kill.scope == OomScope::kGlobal ? ", because the host was out of memory"
                                                            : "";
      Prove(Proof::kKernelLog);
      Say(kill.place, "the kernel killed {} (pid {}) for memory{}", kill.comm, kill.pid, scope);
      if (!kill.oom_memcg.empty()) Say(kill.place, "the limit that was hit is that of {}", kill.oom_memcg);
      if (kill.chosen_pid && *kill.chosen_pid != kill.pid)
        Say(kill.place, "chosen was its parent or sibling, pid {}", *kill.chosen_pid);
    } else if (incident_.other_was_killed && incident_.report != nullptr) {
      Say(incident_.report->place, "the kernel killed another process of this cgroup for memory");
    } else if (process_.known && !evidence_.kills.empty()) {
      Say(evidence_.kills.back().place, "the kernel's log has {} OOM kill{}, none of this process",
          evidence_.kills.size(), evidence_.kills.size() == 1 ? "" : "s");
    }
    for (const Notice& notice : evidence_.notices) {
      if (notice.kind == NoticeKind::kUnitOom) {
        Prove(Proof::kCounter);
        SayOnce(notice.place,
                "systemd saw an OOM kill in " + (notice.subject.empty() ? std::string("the unit") : notice.subject));
      }
      if (notice.kind == NoticeKind::kUserSpaceKiller)
        SayOnce(notice.place, "a killer in user space, not the kernel, acted on " + notice.subject);
      if (notice.kind == NoticeKind::kEviction) SayOnce(notice.place, "the kubelet evicted " + notice.subject);
      if (notice.kind == NoticeKind::kEvictionReason) SayOnce(notice.place, "the node was short of " + notice.subject);
      if (notice.kind == NoticeKind::kForkRejected)
        SayOnce(notice.place, "a fork was refused: the limit of processes was reached");
    }
  }

  void SayCounters() {
    if (const CgroupFiles* files = incident_.cgroup) {
      const Number kills = files->OomKills();
      if (kills && *kills > 0) Prove(Proof::kCounter);
      if (kills) Say(files->place, "the cgroup counts {} OOM kill{}", *kills, *kills == 1 ? "" : "s");
      const Number oom = files->events.Find("oom");
      if (oom && *oom > 0) Say(files->place, "its limit was hit for good {} time{}", *oom, *oom == 1 ? "" : "s");
    }
    const Sample* first = nullptr;
    for (const Sample& sample : evidence_.samples) {
      if (!sample.more.Find("oom_kills")) continue;
      if (first == nullptr) first = &sample;
      if (*sample.more.Find("oom_kills") <= *first->more.Find("oom_kills")) continue;
      Prove(Proof::kCounter);
      Say(sample.place, "the monitor saw oom_kill grow from {} to {}", *first->more.Find("oom_kills"),
          *sample.more.Find("oom_kills"));
      break;
    }
  }

  void SayEvents() {
    bool said = false;
    for (const RuntimeEvent& event : evidence_.events) {
      if (!ConcernsUs(event.id)) continue;
      if (event.action == "oom" || event.action == "OOMKilling" || event.action == "SystemOOM") {
        Prove(Proof::kRuntimeEvent);
        if (!said) Say(event.place, "the runtime reports an OOM ({})", event.action);
        said = true;
      } else if (event.action == "Evicted") {
        Say(event.place, "Kubernetes evicted the pod: {}", event.message);
        incident_.stopped = &event;
        if (const auto resource = Between(event.message, "low on resource: ", ".")) incident_.evicted_for = *resource;
      } else if (event.action == "kill" && event.signal.value_or(0) != 0) {
        Say(event.place, "somebody sent signal {} through the runtime", *event.signal);
        if (*event.signal == 9 || *event.signal == 15) incident_.stopped = &event;
      }
    }
  }

  void SayState() {
    if (incident_.state == nullptr) return;
    const ContainerState& state = *incident_.state;
    if (state.oom_killed) Say(state.place, "the container's state says OOMKilled: {}", *state.oom_killed);
    if (!state.oom_killed && !state.reason.empty()) Say(state.place, "the container's state says {}", state.reason);
    if (FlagsOom(state)) {
      Prove(Proof::kStateFlag);
      incident_.main_process_lived = state.running.value_or(false) || state.exit_code == 0;
      if (incident_.main_process_lived)
        Say(state.place, "its main process lived on: the kernel killed another process in it");
    }
    if (!state.exit_code || (state.running.value_or(false) && *state.exit_code == 0)) return;
    if (*state.exit_code == kSigkillStatus) {
      Prove(Proof::kExitCode);
      Say(state.place, "exit code 137 is SIGKILL, from whomever: alone it proves no OOM");
    } else {
      Say(state.place, "exit code {}{}", *state.exit_code,
          *state.exit_code == 143 ? ": SIGTERM, it was asked to stop" : "");
    }
  }

  void ChooseParts() {
    if (incident_.report != nullptr) incident_.parts = CompositionOf(*incident_.report, evidence_);
    if (incident_.parts.usage && incident_.parts.anon) return;
    if (incident_.kill != nullptr && !incident_.parts.usage && incident_.kill->usage_kb) {
      incident_.parts.usage = *incident_.kill->usage_kb * 1024;
      if (incident_.kill->limit_kb) incident_.parts.limit = *incident_.kill->limit_kb * 1024;
    }
    if (incident_.owner == LimitOwner::kHost) return;
    // After a kill the files say what is left; only a cgroup that is still full tells what filled it.
    Composition best = incident_.parts;
    const auto offer = [&best](const Composition& candidate) {
      const bool full = candidate.usage && (!candidate.limit || *candidate.usage >= *candidate.limit / 2);
      if (candidate.anon && full && (!best.anon || *candidate.usage >= best.usage.value_or(0))) best = candidate;
    };
    for (const Sample& sample : evidence_.samples) offer(CompositionOf(sample, evidence_));
    if (incident_.cgroup != nullptr) offer(CompositionOf(*incident_.cgroup, evidence_));
    incident_.parts = best;
  }

  const Evidence& evidence_;
  const ProcessIdentity& process_;
  Incident incident_;
  std::string id_;
  std::set<std::string> repeated_;
};

}  // namespace

bool Incident::Concerns(const OomKill& other) const {
  if (!has_subject || &other == kill) return true;
  if (!container_id.empty() && SameId(other.container_id, container_id)) return true;
  if (cgroup_path.size() > 1 && other.task_memcg == cgroup_path) return true;
  return kill != nullptr && !other.oom_memcg.empty() && other.oom_memcg == kill->oom_memcg;
}

ProcessIdentity IdentityOf(const Profile& profile, uint64_t end_ns) {
  ProcessIdentity identity;
  const format::Header& header = profile.header;
  identity.known = true;
  identity.exe = profile.BlobOr(format::BlobKind::kExecutable, "");
  identity.cgroup_path = profile.BlobOr(format::BlobKind::kCgroupPath, "");
  identity.container_id = ContainerIdOf(identity.cgroup_path);
  const std::string hostname = profile.BlobOr(format::BlobKind::kHostname, "");
  if (identity.container_id.empty() && hostname.size() == kShortIdDigits && IsHex(hostname))
    identity.container_id = hostname;
  const std::string* status = profile.FindBlob(format::BlobKind::kProcFile, "status");
  if (status != nullptr) identity.name = LineOf(*status, "Name:");
  if (identity.name.empty()) identity.name = identity.exe.substr(identity.exe.rfind('/') + 1).substr(0, kCommBytes);
  identity.pids.push_back(header.pid);
  if (status != nullptr) {
    const std::string numbers = LineOf(*status, "NSpid:");
    for (const char *at = numbers.data(), *end = at + numbers.size(); at < end;) {
      uint32_t pid = 0;
      const auto [next, error] = std::from_chars(at, end, pid);
      if (error == std::errc()) identity.pids.push_back(pid);
      at = error == std::errc() ? next : at + 1;
    }
  }
  identity.started_ns = header.process_start_ns != 0 ? header.process_start_ns : header.start_ns;
  identity.end_ns = end_ns;
  constexpr double kTicksPerSecond = 100;  // USER_HZ
  if (header.process_start_ticks != 0)
    identity.started_uptime_s = static_cast<double>(header.process_start_ticks) / kTicksPerSecond;
  const auto state = static_cast<format::State>(header.state);
  identity.ended_well = state == format::State::kExited || state == format::State::kExec;
  return identity;
}

int MatchKill(const OomKill& kill, const ProcessIdentity& process) {
  if (process.ended_well) return 0;
  const bool ids_known = !kill.container_id.empty() && !process.container_id.empty();
  if (ids_known && !SameId(kill.container_id, process.container_id)) return 0;
  // A path that begins at the root of a cgroup namespace names nobody.
  const bool paths_known = !kill.task_memcg.empty() && process.cgroup_path.size() > 1;
  const bool same_path = paths_known && kill.task_memcg == process.cgroup_path;
  if (!ids_known && paths_known && !same_path && !kill.task_memcg.ends_with(process.cgroup_path)) return 0;
  const bool same_pid = std::find(process.pids.begin(), process.pids.end(), kill.pid) != process.pids.end();
  // A thread may have given itself a name, and a program another one: then the PID must do.
  const bool same_name = kill.comm.substr(0, kCommBytes) == process.name;
  if (!same_name && !(same_pid && (ids_known || same_path))) return 0;
  if (const std::optional<double> age = AgeAt(kill, process); age && *age < -kClockSlackS) return 0;
  return 1 + (ids_known || same_path ? 4 : 0) + (same_pid ? 2 : 0) + (same_name ? 1 : 0);
}

Incident FindIncident(const Evidence& evidence, const ProcessIdentity& process) {
  return Finder(evidence, process).Find();
}

}  // namespace memtrace::tools
