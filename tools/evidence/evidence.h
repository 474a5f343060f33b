// What is known about a kill from outside of the process: kernel logs, the states that container runtimes keep,
// copied cgroup files, monitor rows, declared limits. Facts only, each with the place where it was read; what was not
// read is empty, never 0. Nothing is concluded here. See read.h for how it comes in.
#ifndef MEMTRACE_TOOLS_EVIDENCE_EVIDENCE_H_
#define MEMTRACE_TOOLS_EVIDENCE_EVIDENCE_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace memtrace::tools {

using Number = std::optional<uint64_t>;

// A limit that is known not to exist ("max", 2^63 - 4096, 0 in docker inspect), in bytes or in processes.
inline constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// Line 1 is the first one; line 0 stands for the whole file.
struct Place {
  uint32_t file = 0;  // index into Evidence::files
  uint32_t line = 0;
};

// One point of time as far as it was written down. A stamp without a time zone has only its text.
struct Moment {
  std::optional<int64_t> unix_ns;
  std::optional<double> uptime_s;  // since the host booted: the kernel's own stamp
  std::string text;                // as written
  bool known() const { return unix_ns || uptime_s || !text.empty(); }
};

// Names and values in the order of the file.
class NamedNumbers {
 public:
  Number Find(std::string_view name) const {
    for (const auto& [key, value] : all)
      if (key == name) return value;
    return std::nullopt;
  }
  std::vector<std::pair<std::string, uint64_t>> all;
};

// "memory: usage 65536kB, limit 65536kB, failcnt 75". A limit is as printed: 9007199254740988 is none.
struct UsageLine {
  Number usage_kb;
  Number limit_kb;
  Number failcnt;
};

// The memory.stat of one cgroup in a kernel log.
struct MemcgStats {
  Place place;
  std::string path;    // empty if it is lost
  bool in_kb = false;  // the one-line form of kernels before 5.2; otherwise bytes
  NamedNumbers values;
  Number BytesOf(std::string_view name) const {
    const Number value = values.Find(name);
    return value && in_kb ? Number(*value * 1024) : value;
  }
};

// A row of the table of tasks that could have been killed. Pages are the host's, mostly of 4 KiB.
struct TaskRow {
  Place place;
  uint32_t pid = 0;
  uint32_t uid = 0;
  uint32_t tgid = 0;
  uint64_t total_vm_pages = 0;
  uint64_t rss_pages = 0;
  Number rss_anon_pages, rss_file_pages, rss_shmem_pages;  // since 6.8
  Number pgtables_bytes;                                   // since 4.15
  Number nr_ptes;                                          // before that
  Number swapents;
  std::optional<int> oom_score_adj;
  std::string name;
};

enum class OomScope { kUnknown, kMemcg, kGlobal };

// What the kernel wrote around one decision to kill. Any part may be missing. `place` is its first line.
struct OomReport {
  Place place;
  Moment time;
  std::string invoker;  // the comm whose allocation failed, seldom the culprit
  std::optional<uint32_t> invoker_pid;
  std::string kernel;    // "6.1.0-18-amd64"
  std::string gfp_mask;  // "0xcc0"
  std::optional<int> order;
  std::optional<int> invoker_oom_score_adj;
  OomScope scope = OomScope::kUnknown;
  std::string constraint;  // "CONSTRAINT_MEMCG"
  std::string nodemask;
  std::string cpuset;
  std::string oom_memcg;                // whose limit was hit
  std::string task_memcg;               // where the chosen task lived
  std::string group;                    // killed as a whole: memory.oom.group
  UsageLine memory, memsw, swap, kmem;  // of oom_memcg
  std::vector<MemcgStats> stats;        // of oom_memcg; before 5.2 also of each descendant
  NamedNumbers host;                    // of a global report: counts of pages, and kB under names that end in _kb
  std::vector<TaskRow> tasks;
  uint64_t tasks_left_out = 0;  // beyond kMostTasks
  std::vector<uint32_t> kills;  // indices into Evidence::kills; none if the line that says so is missing
};
inline constexpr size_t kMostTasks = 4096;  // per report

// Lines that name a killed process.
enum KillLine : unsigned { kLineSummary = 1, kLineChosen = 2, kLineKilled = 4 };

// One killed process, however often it is logged. Values are as printed, in kB.
struct OomKill {
  Place place;  // of the line that says it best: "Killed process", else the summary, else "Kill process"
  Moment time;
  std::optional<uint32_t> report;  // index into Evidence::reports
  uint32_t pid = 0;                // on the host
  std::string comm;
  OomScope scope = OomScope::kUnknown;
  unsigned lines = 0;                  // KillLine
  uint32_t times_logged = 0;           // how often "Killed process" named it
  std::optional<uint32_t> chosen_pid;  // the one that was to be killed, of which this may be a child
  std::optional<uint32_t> score;
  Number total_vm_kb, anon_rss_kb, file_rss_kb, shmem_rss_kb, pgtables_kb;
  std::optional<uint32_t> uid;
  std::optional<int> oom_score_adj;
  Number usage_kb, limit_kb;  // of oom_memcg; never in a global kill
  std::string oom_memcg, task_memcg;
  std::string container_id;  // 64 digits; see ContainerIdOf
  bool reaped = false;
  bool is_target = false;  // set by whoever joins evidence with a recording
};

// What else was logged and decides between causes.
enum class NoticeKind {
  kUnitOom,          // systemd: a process of this unit was killed by the kernel's OOM killer
  kUserSpaceKiller,  // systemd-oomd, earlyoom, nohang, lmkd
  kEviction,         // kubelet: the pod was evicted
  kEvictionReason,   // kubelet: for want of this resource of the node ("memory", "ephemeral-storage")
  kForkRejected,     // the pids controller refused a fork
  kSuppressed,       // the kernel rate-limited its reports
  kNoKillable,       // out of memory and nobody left to kill, or panic_on_oom
};
struct Notice {
  Place place;
  Moment time;
  NoticeKind kind;
  std::string subject;  // unit, pod, cgroup
  std::optional<uint32_t> pid;
};

struct Limits {
  Number memory_bytes;       // kNoLimit: declared to be none
  Number memory_swap_bytes;  // memory and swap together, as docker counts
  Number reservation_bytes;  // a wish or a request, not a limit
  Number pids;
  std::optional<bool> oom_kill_disable;
  bool any() const { return memory_bytes || memory_swap_bytes || reservation_bytes || pids || oom_kill_disable; }
};

// One state of one container, as its runtime keeps it.
struct ContainerState {
  Place place;
  std::string runtime;  // "docker", "podman", "cri", "containerd", "kubernetes"; empty: a fragment that does not say
  std::string id, name, image, pod, name_space;
  std::optional<uint32_t> pid;
  std::string status;  // "exited", "running", "terminated", "waiting"
  std::string reason;  // "OOMKilled"
  std::string error;
  std::optional<bool> running;
  std::optional<bool> oom_killed;
  std::optional<int> exit_code;
  std::optional<int> signal;
  Moment started, finished;
  std::optional<uint32_t> restart_count;
  bool previous = false;  // kubernetes' lastState: of the container before the last restart
  Limits limits;
  std::string cgroup_parent;
};

struct RuntimeEvent {
  Place place;
  Moment time;
  std::string type;    // "container"; of kubernetes "Warning" or "Normal"
  std::string action;  // "oom", "die", "kill"; of kubernetes the reason: "OOMKilling", "Evicted"
  std::string id, name, image;
  std::optional<int> exit_code;
  std::optional<int> signal;
  std::string message;
};

enum class SampleSource { kDockerStats, kMonitorCsv };
struct Sample {
  Place place;
  SampleSource source = SampleSource::kDockerStats;
  Moment time;
  std::string id, name;
  Number memory_bytes, limit_bytes;
  std::optional<double> memory_percent, cpu_percent;
  Number pids;
  NamedNumbers more;  // further columns of a monitor CSV that hold whole numbers
};

struct Pressure {
  std::optional<double> avg10, avg60, avg300;  // percent
  Number total_us;
};

// The files of one cgroup at one moment. A file that is read a second time begins another one.
struct CgroupFiles {
  Place place;
  std::string path;  // of the cgroup, empty if unknown
  std::optional<int> version;
  Number current, peak, max, high, low, min, soft_limit;  // bytes; v1: usage_in_bytes and so on
  Number memsw_current, memsw_peak, memsw_max;            // v1: memory and swap together
  Number swap_current, swap_peak, swap_max;               // v2: swap alone
  Number kernel_current, kernel_max, tcp_current;         // v1: kmem
  Number failcnt, memsw_failcnt;
  Number pids_current, pids_peak, pids_max;
  Number oom_group, oom_kill_disable, under_oom, oom_control_kills;
  NamedNumbers stat, events, events_local, swap_events, pids_events;
  std::optional<Pressure> pressure_some, pressure_full;
  NamedNumbers reads;       // each file with a single value, in order; "max" is kNoLimit
  Number OomKills() const;  // memory.events or memory.oom_control
};

// What somebody asked a runtime for.
struct DeclaredLimits {
  Place place;
  std::string origin;  // "compose", "docker run", "kubernetes"
  std::string name;    // service or container
  std::string image;
  Limits limits;
};

struct EvidenceFile {
  std::string name;                 // as on the command line, "standard input"
  std::string what;                 // "kernel log", "docker inspect", ...; several with commas
  std::vector<std::string> losses;  // what was not understood or left out, a sentence each
};

struct Evidence {
  std::vector<EvidenceFile> files;
  std::vector<OomKill> kills;  // in the order of the log; the same kill in two files once
  std::vector<OomReport> reports;
  std::vector<ContainerState> containers;
  std::vector<RuntimeEvent> events;
  std::vector<Sample> samples;
  std::vector<CgroupFiles> cgroups;
  std::vector<DeclaredLimits> declared;
  std::vector<Notice> notices;
  std::vector<uint32_t> reaped_pids;

  bool empty() const {
    return kills.empty() && reports.empty() && containers.empty() && events.empty() && samples.empty() &&
           cgroups.empty() && declared.empty() && notices.empty() && reaped_pids.empty();
  }
  // "app.log:17"
  std::string Where(Place place) const;
};

// The last component of a cgroup path that names a container by 64 hexadecimal digits ("docker-<id>.scope",
// "cri-containerd-<id>.scope", "<id>"), without what surrounds them; empty if there is none.
std::string ContainerIdOf(std::string_view cgroup_path);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_EVIDENCE_H_
