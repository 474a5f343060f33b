// Rows of the decision table about the recorded process: its heap, its allocator, its runtime.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "tools/analysis/causes.h"
#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// Language runtimes that keep heaps of their own in anonymous mappings, by a part of a module's path.
struct Runtime {
  std::string_view module;
  const char* name;
  Setting setting;
};
constexpr Runtime kRuntimes[] = {
    {"libjvm.so", "the JVM", Setting::kJavaHeap},
    {"/node", "node (V8)", Setting::kNodeHeap},
    {"libnode.so", "node (V8)", Setting::kNodeHeap},
    {"libcoreclr.so", ".NET", Setting::kNone},
    {"libmono", "Mono", Setting::kNone},
    {"/python3", "Python", Setting::kNone},
    {"libpython3", "Python", Setting::kNone},
    {"/beam.smp", "Erlang", Setting::kNone},
    {"libgo.so", "Go", Setting::kGoHeap},
    {"/php", "PHP", Setting::kNone},
};

const Runtime* RuntimeOf(const Profile& profile) {
  for (const Runtime& runtime : kRuntimes) {
    const bool loaded = std::any_of(profile.modules.begin(), profile.modules.end(), [&](const Module& module) {
      return module.path.find(runtime.module) != std::string::npos;
    });
    if (loaded) return &runtime;
  }
  return nullptr;
}

std::string SiteName(const Report& report, const Suspect& suspect) {
  return PlaceOf(suspect, report.table, report.frames.get());
}

double GrowthPerSecond(const Report& report) {
  double sum = 0;
  for (const Suspect& suspect : report.suspects) {
    if (suspect.kind == SuspectKind::kGrowing) sum += suspect.growth_bytes_per_s.value_or(0);
  }
  return sum;
}

double ShareOfUsage(const Report& report, const Bytes& part) {
  const uint64_t usage = report.memory.cgroup_bytes.value_or(0);
  return usage == 0 ? 0 : static_cast<double>(part.value_or(0)) / static_cast<double>(usage);
}

// Anonymous memory of the process that is not the native heap. The kernel's figure of the kill is newer than a
// snapshot's.
struct OutsideHeap {
  uint64_t bytes = 0;
  double share = 0;  // of the usage
  std::string evidence;
};
std::optional<OutsideHeap> MeasureOutsideHeap(const Case& facts) {
  const MemoryBridge& memory = facts.report.memory;
  const uint64_t live = facts.report.profile->totals.live_bytes;
  const OomKill* kill = facts.incident.kill;
  OutsideHeap outside;
  if (kill != nullptr && kill->anon_rss_kb && facts.parts.usage.value_or(0) > 0) {
    outside.bytes = Excess(*kill->anon_rss_kb * 1024, SaturatingAdd(live, memory.allocator_overhead_bytes.value_or(0)));
    outside.share = facts.parts.Share(outside.bytes);
    outside.evidence =
        fmt::format("{}: anonymous memory {}, while the recording's native heap is {}",
                    facts.evidence()->Where(kill->place), FormatBytes(*kill->anon_rss_kb * 1024), FormatBytes(live));
  } else if (memory.other_anon_bytes) {
    outside.bytes = *memory.other_anon_bytes;
    outside.share = memory.cgroup_bytes ? ShareOfUsage(facts.report, outside.bytes) : 1;
    outside.evidence = fmt::format("the snapshot: anonymous memory outside of the native heap {}, native heap {}",
                                   FormatBytes(outside.bytes), FormatBytes(live));
  } else {
    return std::nullopt;
  }
  return outside;
}

bool Leaks(const Case& facts) {
  const std::vector<Suspect>& suspects = facts.report.suspects;
  return !suspects.empty() && suspects.front().kind == SuspectKind::kGrowing;
}

std::optional<Finding> NativeLeak(const Case& facts) {
  const Report& report = facts.report;
  if (!Leaks(facts)) return std::nullopt;
  const Suspect& first = report.suspects.front();
  Finding finding;
  finding.strength = 60;
  finding.confidence = first.confidence;
  finding.sentence = fmt::format("Memory allocated by {} is not given back: {} are live", SiteName(report, first),
                                 FormatBytes(first.live_bytes));
  const double growth = GrowthPerSecond(report);
  if (growth > 0) finding.sentence += fmt::format(", {}/s more", FormatBytes(RoundToUint(growth)));
  finding.sentence += ".";
  if (first.survival.slowing != Slowing::kNo && first.confidence != Confidence::kConfirmed)
    finding.sentence += " Less of it came lately than before: it may be a cache or table that is still filling.";
  const CgroupFacts& cgroup = report.cgroup;
  const Bytes used = cgroup.working_set_bytes ? cgroup.working_set_bytes : cgroup.usage_bytes;
  if (growth > 0 && cgroup.limit_bytes && used) {
    if (!facts.ended_at_limit()) {
      finding.time_to_limit_s = static_cast<double>(Excess(*cgroup.limit_bytes, *used)) / growth;
      finding.sentence += fmt::format(" At this rate the limit of {} is {} away.", FormatBytes(*cgroup.limit_bytes),
                                      FormatSeconds(*finding.time_to_limit_s));
    }
    finding.advice.push_back(fmt::format("No limit is large enough for a leak: doubling it to {} buys {}.",
                                         FormatBytes(2 * *cgroup.limit_bytes),
                                         FormatSeconds(static_cast<double>(*cgroup.limit_bytes) / growth)));
  }
  for (const Suspect& suspect : report.suspects) {
    finding.evidence.push_back(fmt::format("{} [{}]: {}", SiteName(report, suspect), suspect.id, suspect.why));
  }
  finding.advice.insert(finding.advice.begin(),
                        "Follow the first suspect's stack: who should free these blocks, and when?");
  if (first.confidence != Confidence::kConfirmed)
    finding.advice.emplace_back("Two more snapshots some time apart (memtrace snapshot) confirm or clear it.");
  return finding;
}

std::optional<Finding> ManagedHeap(const Case& facts) {
  const Report& report = facts.report;
  const std::optional<OutsideHeap> outside = MeasureOutsideHeap(facts);
  const Runtime* runtime = RuntimeOf(*report.profile);
  const uint64_t live = report.profile->totals.live_bytes;
  if (runtime == nullptr || !outside || outside->bytes < 16 * kMiB || outside->bytes / 2 <= live ||
      outside->share < 0.4)
    return std::nullopt;
  Finding finding;
  finding.strength = 65;
  finding.confidence = Confidence::kLikely;
  finding.sentence = fmt::format("{} of anonymous memory are not the native heap; {} manages them.",
                                 FormatBytes(outside->bytes), runtime->name);
  if (facts.ended_at_limit() && facts.limit()) {
    finding.sentence += fmt::format(" Its heap and {} of native memory do not fit into {} together.", FormatBytes(live),
                                    FormatBytes(*facts.limit()));
    finding.recommended_limit = WithRoom(*facts.limit());
    finding.recommended_why = "a quarter above what heap and native memory held together";
  }
  finding.evidence = {outside->evidence};
  finding.advice = {
      "Bound the runtime's heap (-Xmx, --max-old-space-size, GOMEMLIMIT) below the container's limit.",
      "What grows inside that heap the runtime's own tools show: jcmd GC.class_histogram, node --heapsnapshot-signal, "
      "tracemalloc."};
  finding.setting = runtime->setting;
  if (finding.setting != Setting::kNone && !finding.recommended_limit) finding.recommended_limit = facts.limit();
  return finding;
}

// Much more memory is held by the allocator than the program asked for.
bool OverheadIsEvident(const Report& report) {
  const Bytes overhead = report.memory.allocator_overhead_bytes;
  return overhead && *overhead >= 16 * kMiB && ShareOfUsage(report, overhead) >= 0.4 &&
         *overhead > report.profile->totals.live_bytes;
}

Finding OverheadFinding(const Case& facts) {
  const MemoryBridge& memory = facts.report.memory;
  Finding finding;
  finding.strength = 62;
  finding.confidence = memory.fragmented_bytes ? Confidence::kLikely : Confidence::kPossible;
  finding.evidence = {fmt::format(
      "the snapshot: {} live, {} held by the allocator beside that{}",
      FormatBytes(facts.report.profile->totals.live_bytes), FormatBytes(*memory.allocator_overhead_bytes),
      memory.fragmented_bytes
          ? fmt::format(", {} of it on pages that a live block keeps", FormatBytes(*memory.fragmented_bytes))
          : std::string())};
  return finding;
}

std::optional<Finding> AllocatorRetention(const Case& facts) {
  if (!OverheadIsEvident(facts.report)) return std::nullopt;
  const MemoryBridge& memory = facts.report.memory;
  if (memory.fragmented_bytes.value_or(0) > memory.retained_bytes.value_or(0)) return std::nullopt;
  Finding finding = OverheadFinding(facts);
  finding.sentence = fmt::format(
      "The program holds {}, but its allocator keeps {} of free memory that it does not give back to the kernel.",
      FormatBytes(facts.report.profile->totals.live_bytes), FormatBytes(*memory.allocator_overhead_bytes));
  finding.advice = {"Call malloc_trim(0) after the peak, or let glibc give memory back sooner:"};
  finding.setting = Setting::kReturnFree;
  return finding;
}

std::optional<Finding> AllocatorFragmentation(const Case& facts) {
  const MemoryBridge& memory = facts.report.memory;
  if (!OverheadIsEvident(facts.report) || memory.fragmented_bytes.value_or(0) <= memory.retained_bytes.value_or(0))
    return std::nullopt;
  Finding finding = OverheadFinding(facts);
  finding.sentence =
      fmt::format("The program holds {}, scattered so that {} between its blocks cannot be given back.",
                  FormatBytes(facts.report.profile->totals.live_bytes), FormatBytes(*memory.fragmented_bytes));
  finding.advice = {
      "Allocate what lives long apart from what lives short; trimming does not help. An allocator that keeps sizes "
      "apart:"};
  finding.setting = Setting::kOtherAllocator;
  return finding;
}

std::optional<Finding> UntrackedAnon(const Case& facts) {
  const std::optional<OutsideHeap> outside = MeasureOutsideHeap(facts);
  if (!outside || outside->bytes < 16 * kMiB || outside->share < 0.5) return std::nullopt;
  Finding finding;
  finding.strength = 55;
  finding.confidence = Confidence::kLikely;
  finding.sentence = fmt::format(
      "{} ({} of the usage) are anonymous memory that no malloc handed out: mmap by the program itself, stacks, or an "
      "allocator that memtrace does not see.",
      FormatBytes(outside->bytes), FormatShare(outside->share));
  finding.evidence = {outside->evidence};
  constexpr uint64_t kKernelStack = 16 << 10;  // x86-64 and arm64
  const uint64_t threads = facts.parts.kernel_stack.value_or(0) / kKernelStack;
  if (threads >= 16) {
    finding.evidence.push_back(fmt::format("{}: kernel stacks of about {} threads; were it their stacks, each had {}",
                                           facts.parts.where, threads, FormatBytes(outside->bytes / threads)));
  }
  finding.advice = {"pmap -X PID shows the mappings; strace -e mmap -k who makes them."};
  return finding;
}

std::optional<Finding> LimitTooLow(const Case& facts) {
  const Report& report = facts.report;
  const Totals& totals = report.profile->totals;
  if (!facts.ended_at_limit() || Leaks(facts) || totals.live_bytes == 0 || !facts.limit()) return std::nullopt;
  Finding finding;
  finding.strength = 40;
  const bool complete = report.suspects.empty() && report.profile->losses.empty();
  finding.confidence = facts.incident.is_oom() && complete ? Confidence::kLikely : Confidence::kPossible;
  finding.evidence.push_back(fmt::format("{} of {} allocated were freed again", FormatBytes(totals.freed_bytes),
                                         FormatBytes(totals.allocated_bytes)));
  const std::string measure =
      "run it once with a much larger limit and take the peak of `memtrace monitor` plus a quarter";
  if (report.suspects.empty()) {
    finding.sentence =
        fmt::format("Nothing leaks: the program needs more than {}. It held {} of native heap.",
                    FormatBytes(*facts.limit()), FormatBytes(std::max(totals.live_bytes, totals.peak_live_bytes)));
    finding.evidence.back() += ", and no site keeps a share that grows";
    finding.advice = {fmt::format("Either {}, or let it hold less: the consumers below.", measure)};
  } else {
    const Suspect& first = report.suspects.front();
    const std::string place = SiteName(report, first);
    finding.sentence = fmt::format(
        "No leak is evident, but {} was still filling when the limit of {} was reached: it held {} of the {} of native "
        "heap.",
        place, FormatBytes(*facts.limit()), FormatBytes(first.live_bytes), FormatBytes(totals.live_bytes));
    finding.advice = {fmt::format(
        "Is there a bound to what {} fills? Without one no limit is large enough; with one, {}.", place, measure)};
  }
  finding.recommended_limit = WithRoom(*facts.limit());
  finding.recommended_why =
      "a quarter above what it held when it was killed; what it would have gone on to need nobody saw";
  for (const Suspect& suspect : report.suspects)
    finding.evidence.push_back(
        fmt::format("against it, {} [{}]: {}", SiteName(report, suspect), suspect.id, suspect.why));
  finding.setting = Setting::kLimit;
  return finding;
}

constexpr CauseRow kRows[] = {
    {"managed-heap", ManagedHeap},
    {"allocator-retention", AllocatorRetention},
    {"allocator-fragmentation", AllocatorFragmentation},
    {"native-leak", NativeLeak},
    {"untracked-anon", UntrackedAnon},
    {"limit-too-low", LimitTooLow},
};

}  // namespace

std::span<const CauseRow> HeapCauses() { return kRows; }

uint64_t WithRoom(uint64_t bytes) { return (bytes + bytes / 4 + kMiB - 1) / kMiB * kMiB; }

}  // namespace memtrace::tools
