#include "tools/analysis/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "tools/analysis/process_state.h"
#include "tools/analysis/reachability.h"
#include "tools/analysis/work_clock.h"
#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

uint64_t NowNs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

// The last moment that the recording knows of. A process that was killed had no time to note when.
uint64_t EndOf(const Profile& profile, std::string_view state) {
  const format::Header& header = profile.header;
  if (state == "running") return std::max(NowNs(), header.start_ns);
  if (header.end_ns != 0) return header.end_ns;
  uint64_t end = std::max(header.start_ns, header.last_event_ns);
  if (!profile.timeline.empty()) end = std::max(end, profile.timeline.back().time_ns);
  return end;
}

std::string TriggerName(const Profile& profile) {
  switch (static_cast<format::Trigger>(profile.header.trigger)) {
    case format::Trigger::kSignal:
      return "signal";
    case format::Trigger::kThreshold:
      return "threshold";
    case format::Trigger::kExit:
      return "exit";
    default:
      return "none";
  }
}

std::vector<StateMark> MarkSnapshots(const ProcessStates& states, uint64_t started_ns) {
  std::vector<StateMark> marks;
  for (const Profile& state : states) {
    if (!state.is_snapshot()) continue;
    const double t = (static_cast<double>(state.header.end_ns) - static_cast<double>(started_ns)) / 1e9;
    StateMark& mark = marks.emplace_back(StateMark{t, TriggerName(state), std::nullopt, state.file_name});
    if (mark.trigger == "threshold" && state.header.trigger_percent > 0) mark.percent = state.header.trigger_percent;
  }
  return marks;
}

Bytes Known(uint64_t value) { return value == format::kUnknown ? Bytes() : Bytes(value); }

std::vector<TimelineEntry> MergeTimelines(const ProcessStates& states, uint64_t started_ns) {
  std::vector<format::TimelinePoint> points;
  for (const Profile& state : states) points.insert(points.end(), state.timeline.begin(), state.timeline.end());
  const auto by_time = [](const auto& a, const auto& b) { return a.time_ns < b.time_ns; };
  std::stable_sort(points.begin(), points.end(), by_time);
  const auto same = [](const auto& a, const auto& b) { return a.time_ns == b.time_ns; };
  points.erase(std::unique(points.begin(), points.end(), same), points.end());
  std::vector<TimelineEntry> entries;
  for (const format::TimelinePoint& point : points) {
    const double t = (static_cast<double>(point.time_ns) - static_cast<double>(started_ns)) / 1e9;
    entries.push_back({t, Known(point.cgroup_usage_bytes), Known(point.live_bytes)});
  }
  return entries;
}

struct SnapshotMemory {
  MemoryBridge bridge;
  uint64_t time_ns = 0;
  std::optional<uint32_t> percent;
};

// Of the newest snapshot with copies of the kernel's files, which recordings do not carry.
std::optional<SnapshotMemory> NewestSnapshotMemory(const ProcessStates& states) {
  for (auto state = states.rbegin(); state != states.rend(); ++state) {
    if (!state->is_snapshot()) continue;
    SnapshotMemory memory;
    memory.bridge = BuildBridge(*state, ReadCgroupFacts(*state));
    if (!memory.bridge.HasFiles()) continue;
    memory.time_ns = state->header.end_ns;
    const bool threshold = state->header.trigger == static_cast<uint32_t>(format::Trigger::kThreshold);
    if (threshold && state->header.trigger_percent > 0) memory.percent = state->header.trigger_percent;
    return memory;
  }
  return std::nullopt;
}

// The whole bridge of one moment: parts of two would not add up.
void PlaceMemory(const std::optional<SnapshotMemory>& snapshot, Report* report) {
  report->memory = BuildBridge(*report->profile, report->cgroup);
  const bool dead = report->state != "running" && !report->profile->is_snapshot();
  if (!dead || !snapshot || report->memory.HasFiles()) return;
  report->memory = snapshot->bridge;
  report->memory_moment =
      MemoryMoment{static_cast<double>(Excess(report->end_ns, snapshot->time_ns)) / 1e9, snapshot->percent};
}

// Nearly all that the process ever allocated came in one moment, its first: it may have gone on to idle. One that was
// killed in that moment has been all that it could be.
bool IsBuildingUp(const Report& report, const WorkClock& clock) {
  constexpr double kMomentS = 1;
  constexpr double kIdleLives = 4;  // as long as the moment: where points of the time line are rare it looks longer
  const Totals& totals = report.profile->totals;
  const uint64_t work = report.profile->work_bytes;
  const double moment_s = clock.SecondsAgo(0) - clock.SecondsAgo(work - work / 10);
  const double life_s = static_cast<double>(Excess(report.end_ns, report.started_ns)) / 1e9;
  const bool idled = life_s > kIdleLives * moment_s;
  const bool began = moment_s < kMomentS && report.state != "killed";
  return totals.freed_bytes < totals.live_bytes / 2 && (began || idled);
}

// What a drop means for the figures.
enum class DropEffect {
  kNotRecorded,   // events are missing
  kUnknownStack,  // they count, but not where they belong
  kWrongStack,    // they count, perhaps at another site
};
struct DropText {
  const char* reason;
  DropEffect effect;
};
// By format::Drop.
constexpr DropText kDrops[] = {
    {"live table full", DropEffect::kNotRecorded},
    {"no room for another thread", DropEffect::kNotRecorded},
    {"too many events inside a signal handler", DropEffect::kNotRecorded},
    {"recording was busy", DropEffect::kNotRecorded},
    {"address or size out of range", DropEffect::kNotRecorded},
    {"site table full", DropEffect::kUnknownStack},
    {"stack table full", DropEffect::kUnknownStack},
    {"stacks that the incremental unwind got wrong", DropEffect::kWrongStack},
};
static_assert(std::size(kDrops) == static_cast<size_t>(format::Drop::kCount));

// The reasons whose effect is `wanted`, with their counts.
template <typename Wanted>
std::string DropReasons(const Profile& profile, Wanted wanted) {
  std::string text;
  for (size_t i = 0; i < format::kDropSlots; ++i) {
    // Slots are only ever added: a file may know a cause that this program does not.
    const bool known = i < std::size(kDrops);
    if (profile.header.drops[i] == 0 || !wanted(known ? kDrops[i].effect : DropEffect::kNotRecorded)) continue;
    const std::string reason = known ? kDrops[i].reason : fmt::format("cause {}", i);
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", reason, profile.header.drops[i]);
  }
  return text;
}

void AddDropSentences(const Report& report, std::vector<std::string>* spots) {
  const auto reasons = [&](DropEffect effect) {
    return DropReasons(*report.profile, [effect](DropEffect other) { return other == effect; });
  };
  if (const std::string lost = reasons(DropEffect::kNotRecorded); !lost.empty()) {
    const Totals& totals = report.profile->totals;
    spots->push_back(fmt::format("Not recorded: {}{} allocations, {} frees ({}).",
                                 report.DropsAreCounted() ? "" : "at least ", totals.dropped_allocations,
                                 totals.dropped_frees, lost));
  }
  if (const std::string unplaced = reasons(DropEffect::kUnknownStack); !unplaced.empty())
    spots->push_back(fmt::format("Counted under the unknown stack instead of their own ({}).", unplaced));
  if (const std::string wrong = reasons(DropEffect::kWrongStack); !wrong.empty())
    spots->push_back(fmt::format("Sites may be named wrongly: MEMTRACE_UNWINDER=verify found {}.", wrong));
}

struct FlagText {
  uint32_t flag;
  const char* text;
};
constexpr FlagText kFlags[] = {
    {format::kFlagExecutableHasOwnMalloc,
     "The executable brings its own malloc, which is found before memtrace's: its own calls were not seen."},
    {format::kFlagShadowedByPreload,
     "Another LD_PRELOAD library stands before memtrace and took the calls; put libmemtrace.so first."},
    {format::kFlagGrowthRefused, "The recording could not grow (full disk, quota or file size limit)."},
    {format::kFlagSnapshotFailed, "At least one snapshot could not be written."},
    {format::kFlagStopped, "Recording was switched off before the process ended."},
};

std::vector<std::string> BlindSpots(const Report& report) {
  const format::Header& header = report.profile->header;
  std::vector<std::string> spots;
  if (!report.profile->has_history) {
    spots.emplace_back(
        "The input is a heap profile of jemalloc: sums per stack, without times and frees. Sizes are averages of their "
        "stack.");
  }
  for (const FlagText& known : kFlags) {
    if ((header.flags & known.flag) != 0) spots.emplace_back(known.text);
  }
  const bool inherited = header.inherited_bytes > 0 && header.inherited_bytes != format::kUnknown;
  if (header.origin == static_cast<uint32_t>(format::Origin::kAttach)) {
    const std::string when = FormatSeconds(static_cast<double>(Excess(header.start_ns, report.started_ns)) / 1e9);
    std::string before;
    if (header.heap_bytes_before > 0 && header.heap_bytes_before != format::kUnknown) {
      before = fmt::format(" ({} in use in the allocator)", FormatBytes(header.heap_bytes_before));
    } else if (inherited) {
      before = fmt::format(" (at most {}, all anonymous memory then)", FormatBytes(header.inherited_bytes));
    }
    spots.push_back(
        fmt::format("Recording began {} after the process: blocks from before{} are not in it.", when, before));
  }
  if (header.origin == static_cast<uint32_t>(format::Origin::kFork) && inherited) {
    spots.push_back(fmt::format("The process was forked; {} that it inherited from its parent are not in here.",
                                FormatBytes(header.inherited_bytes)));
  }
  if (header.brink_since_ns != 0) {
    spots.push_back(
        fmt::format("Near the memory limit sampling was made coarser, since {}.", FormatUtc(header.brink_since_ns)));
  }
  for (const format::Rate& rate : header.rates) {
    if (rate.reason != static_cast<uint32_t>(format::RateReason::kTableFull)) continue;
    spots.push_back(fmt::format("The recording was full at {}: from then on one sample per {}.",
                                FormatUtc(rate.since_ns), FormatBytes(rate.bytes)));
    break;
  }
  AddDropSentences(report, &spots);
  if (const std::string reason = WhyNotLooked(*report.profile); !reason.empty()) spots.push_back(reason);
  return spots;
}

}  // namespace

std::string Report::DropReason() const {
  return DropReasons(*profile, [](DropEffect) { return true; });
}

bool Report::DropsAreCounted() const {
  return profile->header.drops[static_cast<size_t>(format::Drop::kNoThreadBuffer)] == 0 &&
         profile->header.drops[static_cast<size_t>(format::Drop::kBusy)] == 0;
}

Report BuildReport(ProcessStates states, Symbolizer* symbolizer, const std::string& proc,
                   const Suppressions& suppressions) {
  Report report;
  CarryLost(&states);
  const format::Header& header = states.back().header;
  report.started_ns = header.process_start_ns != 0 ? header.process_start_ns : header.start_ns;
  report.timeline = MergeTimelines(states, report.started_ns);
  report.snapshots = MarkSnapshots(states, report.started_ns);
  SiteTrend trend;
  for (size_t i = 0; i + 1 < states.size(); ++i) trend.Append(states[i], BuildSites(states[i]));
  const std::optional<SnapshotMemory> snapshot_memory = NewestSnapshotMemory(states);

  report.profile = std::make_unique<const Profile>(std::move(states.back()));
  const Profile& profile = *report.profile;
  report.frames = std::make_unique<FrameTable>(profile, symbolizer);
  report.state = StateName(profile.header, proc);
  report.trigger = report.state == "exited" ? "exit" : TriggerName(profile);
  report.end_ns = EndOf(profile, report.state);
  report.table = BuildSites(profile);
  report.cgroup = ReadCgroupFacts(profile);
  PlaceMemory(snapshot_memory, &report);
  if (profile.has_history) {
    const WorkClock clock(profile, report.end_ns);
    const SuspectLimits limits{profile.totals.live_bytes, report.cgroup.limit_bytes, IsBuildingUp(report, clock)};
    AssessSites(profile, clock, &report.table);
    report.suspects = FindSuspects(profile, report.table, report.frames.get(), clock, trend, limits);
  }
  report.suppressed = std::erase_if(report.suspects, [&](const Suspect& suspect) {
    const std::vector<uint32_t> stack = report.frames->Stack(report.table.sites[suspect.site].node);
    return suppressions.Match(*report.frames, stack);
  });
  report.blind_spots = BlindSpots(report);
  report.verdict = Decide(&report);
  return report;
}

}  // namespace memtrace::tools
