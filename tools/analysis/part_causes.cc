// Rows of the decision table about kinds of memory that are no heap, and about other processes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "tools/analysis/causes.h"
#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

constexpr double kMostOfIt = 0.5;      // of the usage: enough to be the cause whatever else there is
constexpr double kLargestShare = 0.3;  // enough if no other kind is larger
constexpr uint64_t kPageBytes = 4096;

struct Part {
  const char* cause;
  const char* name;
  Bytes Composition::*bytes;
  const char* sentence;  // {bytes}, {share}, {limit}
  const char* advice;
  Setting setting;
};
constexpr Part kParts[] = {
    {"shmem", "tmpfs and shared memory", &Composition::shmem,
     "{bytes} ({share} of the usage) are files on tmpfs or shared memory segments: /dev/shm, /tmp or /run in memory, "
     "emptyDir "
     "with medium Memory. They count against the limit of {limit} until they are deleted.",
     "Delete what is not needed in /dev/shm and on tmpfs mounts (df -t tmpfs, ipcs -m), or put it on a disk.",
     Setting::kTmpfs},
    {"sockets", "sockets", &Composition::sock,
     "{bytes} ({share} of the usage) are buffers of sockets: data that was received and not read, or sent and not "
     "acknowledged, "
     "against a limit of {limit}.",
     "Look for connections with a full Recv-Q or Send-Q (ss -tmn); bound them with SO_RCVBUF or net.ipv4.tcp_rmem.",
     Setting::kNone},
    {"kernel-memory", "kernel memory", &Composition::kernel,
     "{bytes} ({share} of the usage) are memory of the kernel for this container: slab such as dentries and inodes, "
     "page tables, "
     "pipes, against a limit of {limit}.",
     "slabtop on the host names the caches; open files, watches, many small files and pipes are the usual reasons.",
     Setting::kNone},
    {"page-cache", "page cache", &Composition::file,
     "{bytes} ({share} of the usage) are page cache that could not be dropped in time: written and not yet on the "
     "disk, mapped and "
     "locked, or read faster than it is reclaimed, against a limit of {limit}.",
     "Write less at once: fsync or O_DIRECT for large files, a faster disk, or memory.high below the limit so that the "
     "writer "
     "waits.",
     Setting::kNone},
};

// Whether `bytes` is the largest kind of memory.
bool IsLargest(const Composition& parts, const Bytes& bytes) {
  for (const Bytes& other : {parts.anon, parts.file, parts.shmem, parts.kernel, parts.sock}) {
    if (other.value_or(0) > bytes.value_or(0)) return false;
  }
  return true;
}

std::optional<Finding> WeighPart(const Case& facts, const Part& part) {
  const Bytes& bytes = facts.parts.*part.bytes;
  const double share = facts.parts.Share(bytes);
  const bool most = share >= kMostOfIt;
  if (!most && (share < kLargestShare || !IsLargest(facts.parts, bytes))) return std::nullopt;
  const Bytes limit = facts.limit();
  // Page cache that nobody waits for is how the kernel uses what is free.
  const bool near_limit = limit && *facts.parts.usage >= *limit / 10 * 9;
  if (!facts.ended_at_limit() && (!near_limit || part.bytes == &Composition::file)) return std::nullopt;
  Finding finding;
  finding.strength = most ? 75 : 45;
  finding.confidence = most && facts.parts.at_kill ? Confidence::kConfirmed
                       : most                      ? Confidence::kLikely
                                                   : Confidence::kPossible;
  finding.sentence = fmt::format(fmt::runtime(part.sentence), fmt::arg("bytes", FormatBytes(*bytes)),
                                 fmt::arg("share", FormatShare(share)), fmt::arg("limit", facts.LimitText()));
  finding.evidence.push_back(fmt::format("{}: {} {} of {} in use", facts.parts.where, part.name, FormatBytes(*bytes),
                                         FormatBytes(*facts.parts.usage)));
  if (part.bytes == &Composition::file && facts.parts.dirty)
    finding.evidence.push_back(
        fmt::format("{}: {} of it dirty or being written", facts.parts.where, FormatBytes(*facts.parts.dirty)));
  if (part.bytes == &Composition::kernel && facts.parts.slab)
    finding.evidence.push_back(fmt::format("{}: {} of it slab", facts.parts.where, FormatBytes(*facts.parts.slab)));
  finding.advice = {part.advice};
  finding.setting = part.setting;
  if (part.setting != Setting::kNone) finding.recommended_limit = limit;
  return finding;
}

template <size_t kIndex>
std::optional<Finding> WeighPart(const Case& facts) {
  return WeighPart(facts, kParts[kIndex]);
}

// --- Processes ---

// Since Linux 6.8 the table tells anonymous memory apart; shared files would count in each process.
uint64_t OwnPages(const TaskRow& row) { return row.rss_anon_pages ? *row.rss_anon_pages : row.rss_pages; }

struct Tasks {
  uint64_t count = 0;
  uint64_t bytes = 0;  // of all
  const TaskRow* largest = nullptr;
  const TaskRow* ours = nullptr;  // the recorded process, or the killed one
};

Tasks TasksOf(const Case& facts) {
  Tasks tasks;
  const OomReport* report = facts.incident.report;
  if (report == nullptr) return tasks;
  const OomKill* kill = facts.incident.kill;
  for (const TaskRow& row : report->tasks) {
    ++tasks.count;
    tasks.bytes = SaturatingAdd(tasks.bytes, OwnPages(row) * kPageBytes);
    if (tasks.largest == nullptr || OwnPages(row) > OwnPages(*tasks.largest)) tasks.largest = &row;
    if (kill != nullptr && row.pid == kill->pid) tasks.ours = &row;
  }
  tasks.count += report->tasks_left_out;
  return tasks;
}

Finding ManyFinding(const Case& facts, std::string sentence, std::string evidence) {
  Finding finding;
  finding.strength = 80;
  finding.confidence = facts.parts.at_kill ? Confidence::kConfirmed : Confidence::kLikely;
  finding.sentence = std::move(sentence);
  finding.evidence = {std::move(evidence)};
  finding.advice = {
      "Find what starts them without end (a retry loop, a pool without a bound, children that are never reaped), and "
      "bound their number."};
  finding.setting = Setting::kProcesses;
  return finding;
}

constexpr uint64_t kMany = 25;
constexpr double kSmall = 0.25;  // of the limit: what the largest of many may hold

// One small process after the other dies for the same limit, and it does not help: somebody goes on starting them. The
// kernel's tables show only who is left at one of these moments, and it stops writing them when kills come too fast.
std::optional<Finding> KillStorm(const Case& facts) {
  const OomKill* ours = facts.incident.kill;
  if (ours == nullptr || ours->oom_memcg.empty() || !facts.limit()) return std::nullopt;
  uint64_t count = 0;
  uint64_t largest_kb = 0;
  std::optional<double> first_s, last_s;
  for (const OomKill& kill : facts.evidence()->kills) {
    const bool same = kill.oom_memcg == ours->oom_memcg || (kill.oom_memcg.empty() && kill.scope == ours->scope);
    if (!same || kill.comm != ours->comm || !kill.anon_rss_kb) continue;
    ++count;
    largest_kb = std::max(largest_kb, SaturatingAdd(*kill.anon_rss_kb, kill.shmem_rss_kb.value_or(0)));
    if (!kill.time.uptime_s) continue;
    first_s = std::min(first_s.value_or(*kill.time.uptime_s), *kill.time.uptime_s);
    last_s = std::max(last_s.value_or(*kill.time.uptime_s), *kill.time.uptime_s);
  }
  if (count < kMany || static_cast<double>(largest_kb) * 1024 >= kSmall * static_cast<double>(*facts.limit()))
    return std::nullopt;
  const std::string time = first_s && *last_s > *first_s ? " within " + FormatSeconds(*last_s - *first_s) : "";
  return ManyFinding(
      facts,
      fmt::format("{} processes named {} were killed for it{}, the largest of them with only {}, and that "
                  "was not enough: more are started than the limit has room for.",
                  count, ours->comm, time, FormatBytes(largest_kb * 1024)),
      fmt::format("{}: one of {} kills of {} for the same limit", facts.evidence()->Where(ours->place), count,
                  ours->comm));
}

// What each thread costs inside the kernel; page tables alone may be those of one large mapping.
std::optional<Finding> KernelCostOfThreads(const Case& facts) {
  constexpr uint64_t kKernelStack = 16 << 10;  // x86-64 and arm64
  const Composition& parts = facts.parts;
  const uint64_t stacks = parts.kernel_stack.value_or(0);
  const uint64_t cost = SaturatingAdd(stacks, parts.pagetables.value_or(0));
  if (parts.Share(stacks) < 0.05 || parts.Share(cost) < 0.2) return std::nullopt;
  return ManyFinding(
      facts,
      fmt::format("About {} threads: their stacks and page tables inside the kernel alone take {} of {}.",
                  stacks / kKernelStack, FormatBytes(cost), FormatBytes(*parts.usage)),
      fmt::format("{}: kernel stacks {}, page tables {}", parts.where, FormatBytes(stacks),
                  FormatBytes(cost - stacks)));
}

// Many small ones instead of a large one, or the stacks and page tables that each thread costs.
std::optional<Finding> ThreadsOrProcesses(const Case& facts) {
  if (std::optional<Finding> storm = KillStorm(facts)) return storm;
  const Tasks tasks = TasksOf(facts);
  const bool memcg = facts.incident.owner != LimitOwner::kHost;
  // What processes cost is their own memory and the kernel's for them; where something else fills the limit they are
  // idle.
  const bool theirs =
      !facts.parts.usage || facts.parts.Share(facts.parts.anon) + facts.parts.Share(facts.parts.kernel) >= kMostOfIt;
  const double whole = static_cast<double>(std::max(tasks.bytes, facts.parts.usage.value_or(0)));
  if (memcg && theirs && tasks.count >= kMany && tasks.bytes > 0 &&
      static_cast<double>(OwnPages(*tasks.largest) * kPageBytes) < kSmall * whole) {
    return ManyFinding(
        facts,
        fmt::format("{} processes share the limit of {}; the largest holds only {}. Their number is what fills it.",
                    tasks.count, facts.LimitText(), FormatBytes(OwnPages(*tasks.largest) * kPageBytes)),
        fmt::format("{}: {} processes in the kernel's table",
                    facts.evidence()->Where(facts.incident.report->tasks.front().place), tasks.count));
  }
  const Composition& parts = facts.parts;
  const Bytes stacks = facts.report.memory.stacks_bytes;
  const double stack_share = facts.report.recorded && parts.usage ? parts.Share(stacks) : 0;
  if (stack_share >= 0.35) {
    return ManyFinding(facts,
                       fmt::format("{} ({} of the usage) are stacks of threads, against a limit of {}.",
                                   FormatBytes(*stacks), FormatShare(stack_share), facts.LimitText()),
                       fmt::format("the snapshot: stacks of threads {}", FormatBytes(*stacks)));
  }
  return KernelCostOfThreads(facts);
}

std::optional<Finding> OtherProcess(const Case& facts) {
  Finding finding;
  finding.strength = 78;
  finding.advice = {
      "Give that process a container or a limit of its own, or a room within this limit that it keeps to.",
      "Record it too: children inherit LD_PRELOAD, and `memtrace attach PID` reaches one that runs already."};
  const Tasks tasks = TasksOf(facts);
  if (facts.incident.owner == LimitOwner::kHost) return std::nullopt;
  if (facts.incident.kill != nullptr && tasks.ours != nullptr && tasks.largest != tasks.ours && tasks.bytes > 0) {
    const double largest =
        static_cast<double>(OwnPages(*tasks.largest) * kPageBytes) / static_cast<double>(tasks.bytes);
    const double ours = static_cast<double>(OwnPages(*tasks.ours) * kPageBytes) / static_cast<double>(tasks.bytes);
    if (largest < kMostOfIt || ours > 0.35) return std::nullopt;
    finding.confidence = Confidence::kConfirmed;
    finding.sentence = fmt::format(
        "The victim is not the cause: {} held {}, but {} (pid {}) held {} of what counts against the limit of {}.",
        facts.KilledText(), FormatBytes(OwnPages(*tasks.ours) * kPageBytes), tasks.largest->name, tasks.largest->pid,
        FormatBytes(OwnPages(*tasks.largest) * kPageBytes), facts.LimitText());
    finding.evidence = {fmt::format("{}: {} (pid {}) {}", facts.evidence()->Where(tasks.largest->place),
                                    tasks.largest->name, tasks.largest->pid,
                                    FormatBytes(OwnPages(*tasks.largest) * kPageBytes))};
    return finding;
  }
  // The recorded process next to what the cgroup holds.
  const MemoryBridge& memory = facts.report.memory;
  if (!facts.report.recorded || !memory.cgroup_bytes || !memory.other_processes_bytes || *memory.cgroup_bytes == 0)
    return std::nullopt;
  const double others = static_cast<double>(*memory.other_processes_bytes) / static_cast<double>(*memory.cgroup_bytes);
  const bool full = facts.limit() && *memory.cgroup_bytes >= *facts.limit() / 10 * 7;
  if (others < kMostOfIt || (!facts.ended_at_limit() && !full)) return std::nullopt;
  finding.confidence =
      facts.incident.other_was_killed || facts.incident.is_oom() ? Confidence::kConfirmed : Confidence::kLikely;
  finding.sentence = fmt::format("Other processes of the cgroup hold {} of {}; this one holds {} of native heap.",
                                 FormatBytes(*memory.other_processes_bytes), FormatBytes(*memory.cgroup_bytes),
                                 FormatBytes(memory.native_live_bytes.value_or(0)));
  finding.evidence = {"the snapshot: " + finding.sentence};
  return finding;
}

constexpr CauseRow kRows[] = {
    {kParts[0].cause, WeighPart<0>},
    {kParts[1].cause, WeighPart<1>},
    {kParts[2].cause, WeighPart<2>},
    {kParts[3].cause, WeighPart<3>},
    {"threads-or-processes", ThreadsOrProcesses},
    {"other-process", OtherProcess},
};

}  // namespace

std::span<const CauseRow> PartCauses() { return kRows; }

std::vector<std::string> BudgetLines(const Case& facts) {
  std::vector<std::string> lines;
  if (facts.parts.usage.value_or(0) == 0) return lines;
  if (const std::optional<double> gap = facts.parts.Unexplained()) {
    lines.push_back(
        fmt::format("the budget {}: anonymous, file, shared, kernel and socket memory are {:.1f} % of the usage ({})",
                    std::abs(*gap) < 0.01 ? "closes" : "does not close", 100 * (1 - *gap), facts.parts.where));
  }
  constexpr double kNegligible = 0.15;
  for (const Part& part : kParts) {
    const Bytes& bytes = facts.parts.*part.bytes;
    if (!bytes || facts.parts.Share(bytes) >= kNegligible) continue;
    lines.push_back(fmt::format("ruled out, {}: {} {} of {} in use ({})", part.cause, part.name, FormatBytes(*bytes),
                                FormatBytes(*facts.parts.usage), facts.parts.where));
  }
  return lines;
}

}  // namespace memtrace::tools
