// The verdict: what happened, by the strongest row of the decision table (causes.h), in words.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "tools/analysis/causes.h"
#include "tools/analysis/reachability.h"
#include "tools/analysis/report.h"
#include "tools/analysis/resolution.h"
#include "tools/analysis/sample_trend.h"
#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

struct Winner {
  const char* cause = nullptr;
  Finding finding;
};

void Weigh(std::span<const CauseRow> rows, const Case& facts, Winner* best) {
  for (const CauseRow& row : rows) {
    std::optional<Finding> finding = row.weigh(facts);
    if (finding && finding->strength > best->finding.strength) *best = {row.cause, std::move(*finding)};
  }
}

std::string FirstSuspectSite(const Report& report) {
  return PlaceOf(report.suspects.front(), report.table, report.frames.get());
}

// --- When no row of the table speaks ---

Winner Unknown(std::string sentence, std::string advice, Setting setting = Setting::kNone) {
  Winner winner{"unknown", {}};
  winner.finding.sentence = std::move(sentence);
  winner.finding.advice.push_back(std::move(advice));
  winner.finding.setting = setting;
  return winner;
}

// The kernel killed, and no recording says what filled the process.
Winner UnknownKill(const Case& facts) {
  constexpr uint64_t kHardlyAnythingKb = 6 << 10;  // less than a small interpreter
  const Incident& incident = facts.incident;
  std::string sentence;
  if (facts.parts.anon && facts.parts.usage && facts.parts.Share(facts.parts.anon) > 0.3) {
    sentence = fmt::format(
        "What filled the limit is {} of anonymous memory (heaps, stacks, mappings). Whether that is a leak or the "
        "limit is too low, no log can tell: that takes a recording.",
        FormatBytes(*facts.parts.anon));
  } else if (incident.kill != nullptr && incident.kill->anon_rss_kb &&
             *incident.kill->anon_rss_kb < kHardlyAnythingKb) {
    sentence = fmt::format(
        "It held only {} of anonymous memory, so it is hardly what filled the limit. The kernel's whole report, with "
        "its "
        "tables of memory and tasks, says what did: dmesg on the host.",
        FormatBytes(*incident.kill->anon_rss_kb * 1024));
  } else if (incident.kill != nullptr && incident.kill->anon_rss_kb) {
    sentence = fmt::format(
        "It held {} of anonymous memory. Whether that is a leak or the limit is too low, no log can tell: that takes "
        "a recording.",
        FormatBytes(*incident.kill->anon_rss_kb * 1024));
  } else if (incident.main_process_lived) {
    sentence =
        "A process inside the container was killed, not its main process. The kernel's log names it: dmesg on the "
        "host.";
  } else {
    sentence = "What filled the limit is not in this evidence; the kernel's log has it: dmesg on the host.";
  }
  Winner winner =
      Unknown(sentence, "Run it once under memtrace; the recording survives the next kill:", Setting::kRecord);
  return winner;
}

// A monitor saw it grow, and nothing happened so far.
Winner Growing(const Case& facts, const SampleGrowth& growth) {
  const std::string name = growth.last->name.empty() ? "Memory" : "The memory of " + growth.last->name;
  std::string sentence = fmt::format("Nothing was killed so far, but it grows. {} rises by {}/s", name,
                                     FormatBytes(RoundToUint(growth.bytes_per_s)));
  if (growth.time_to_limit_s) {
    sentence += fmt::format(": at this rate the limit of {} is {} away", FormatBytes(*growth.limit_bytes),
                            FormatSeconds(*growth.time_to_limit_s));
  }
  Winner winner =
      Unknown(sentence + ". Whether it is a leak no monitor can tell: that takes a recording.",
              "Run it under memtrace, or attach to it while it runs: memtrace attach PID", Setting::kRecord);
  winner.finding.time_to_limit_s = growth.time_to_limit_s;
  winner.finding.evidence.push_back(fmt::format(
      "{}: {}, and {} at {}", facts.evidence()->Where(growth.first->place), FormatBytes(*growth.first->memory_bytes),
      FormatBytes(*growth.last->memory_bytes), facts.evidence()->Where(growth.last->place)));
  return winner;
}

Winner WithoutRecording(const Case& facts) {
  const Incident& incident = facts.incident;
  if (incident.is_oom()) return UnknownKill(facts);
  if (incident.proof == Proof::kExitCode) {
    return Unknown(
        "Exit code 137 says that SIGKILL ended it, not who sent it: the kernel for memory, docker kill, or a killer in "
        "user "
        "space.",
        "On the host, soon: dmesg -T | grep -i 'killed process'; docker events --since 1h; journalctl -k");
  }
  if (const auto growth = GrowthOf(*facts.evidence(), facts.limit())) return Growing(facts, *growth);
  Winner winner{"none", {}};
  winner.finding.confidence = Confidence::kLikely;
  winner.finding.sentence =
      "Nothing here says that anything was killed for memory. Logs are rotated and rate-limited: no line is no "
      "proof that nothing happened.";
  const std::vector<Sample>& samples = facts.evidence()->samples;
  const auto highest = std::max_element(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) {
    return a.memory_percent.value_or(0) < b.memory_percent.value_or(0);
  });
  if (highest != samples.end() && highest->memory_percent.value_or(0) >= 80) {
    winner.finding.sentence = fmt::format("Nothing was killed so far, but {} was at {:.0f} % of its limit.",
                                          highest->name.empty() ? "it" : highest->name, *highest->memory_percent);
    winner.finding.evidence.push_back(
        fmt::format("{}: {:.1f} % of the limit", facts.evidence()->Where(highest->place), *highest->memory_percent));
    winner.finding.advice = {"Follow it: memtrace monitor NAME --csv memory.csv --plot memory.svg"};
  }
  return winner;
}

struct Rise {
  uint64_t from;
  uint64_t to;
};

// Whether the heap grew all the time: in each of the last three quarters of its time line it was never as small as it
// ever was in the one before. The first quarter is for starting up.
std::optional<Rise> RiseThroughout(std::span<const TimelineEntry> timeline) {
  constexpr size_t kFewestPoints = 12;
  constexpr size_t kQuarters = 4;
  constexpr double kLittle = 0.1;
  if (timeline.size() < kFewestPoints) return std::nullopt;
  const double begin = timeline.front().t;
  const double length = timeline.back().t - begin;
  std::array<Rise, kQuarters> range;
  range.fill({~uint64_t{0}, 0});
  for (const TimelineEntry& entry : timeline) {
    if (!entry.live_bytes || !(length > 0)) continue;
    const auto quarter = std::min(static_cast<size_t>((entry.t - begin) / length * kQuarters), kQuarters - 1);
    range[quarter].from = std::min(range[quarter].from, *entry.live_bytes);
    range[quarter].to = std::max(range[quarter].to, *entry.live_bytes);
  }
  for (size_t i = 2; i < kQuarters; ++i) {
    if (range[i].to == 0 || range[i].from <= range[i - 1].to) return std::nullopt;
  }
  const Rise rise{range[1].from, range[kQuarters - 1].to};
  const double grown = static_cast<double>(rise.to) - static_cast<double>(rise.from);
  return grown > kLittle * static_cast<double>(rise.to) ? std::optional(rise) : std::nullopt;
}

Winner NoLeak(const Case& facts) {
  const Report& report = facts.report;
  const Totals& totals = report.profile->totals;
  Winner winner{"none", {}};
  Finding& finding = winner.finding;
  const Resolution resolution = ResolutionOf(*report.profile);
  const bool complete = report.profile->losses.empty() && report.DropReason().empty() && resolution.is_fine();
  finding.confidence = complete ? Confidence::kLikely : Confidence::kPossible;
  finding.sentence =
      fmt::format("No leak suspect: no site keeps a share of what it allocates that matters next to the {} live.",
                  FormatBytes(totals.live_bytes));
  if (!resolution.is_fine()) {
    finding.sentence += fmt::format(" But {}.", Words(resolution));
    finding.advice.emplace_back(kHowToRecordMore);
  }
  if (const std::optional<Rise> rise = RiseThroughout(report.timeline); rise && report.suspects.empty()) {
    finding.confidence = Confidence::kPossible;
    finding.sentence += fmt::format(
        " Yet the heap as a whole grew all the time, from {} to {}: a queue that falls behind, or buffers that are "
        "replaced by larger ones, grow so.",
        FormatBytes(rise->from), FormatBytes(rise->to));
    finding.advice.emplace_back("What grew shows in two snapshots: memtrace-report --baseline EARLIER LATER.");
  }
  if (!report.suspects.empty()) {
    finding.confidence = Confidence::kPossible;
    const Suspect& first = report.suspects.front();
    finding.sentence = fmt::format("No leak is evident, but {} is still filling: {} live and nothing freed yet.",
                                   FirstSuspectSite(report), FormatBytes(first.live_bytes));
    for (const Suspect& suspect : report.suspects)
      finding.evidence.push_back(fmt::format("[{}] {}", suspect.id, suspect.why));
    finding.advice.emplace_back("Take another snapshot later: a cache stops growing, a leak does not.");
  }
  finding.evidence.push_back(fmt::format("{} of {} allocated were freed again.", FormatBytes(totals.freed_bytes),
                                         FormatBytes(totals.allocated_bytes)));
  // The working set at its highest, a quarter more: the page cache in the peak can be reclaimed.
  uint64_t highest = report.cgroup.working_set_bytes.value_or(0);
  for (const format::TimelinePoint& point : report.profile->timeline) {
    if (point.cgroup_working_set_bytes != format::kUnknown) highest = std::max(highest, point.cgroup_working_set_bytes);
  }
  if (highest > 0 && highest < (uint64_t{1} << 60)) {
    finding.recommended_limit = WithRoom(highest);
    finding.recommended_why = "a quarter above its highest working set";
  }
  return winner;
}

Winner WithRecording(const Case& facts) {
  const Report& report = facts.report;
  const Totals& totals = report.profile->totals;
  constexpr uint32_t kBlind = format::kFlagExecutableHasOwnMalloc | format::kFlagShadowedByPreload;
  if (totals.allocations == 0 && totals.live_allocations == 0) {
    return Unknown("Nothing was recorded: the program allocated nothing that memtrace could see.",
                   "memtrace doctor says why the library may not see a program.");
  }
  if ((report.profile->header.flags & kBlind) != 0) {
    return Unknown("No leak suspect, but memtrace saw only part of the program's allocations.",
                   "memtrace doctor says what was not seen and why.");
  }
  if (!report.profile->has_history) {
    return Unknown("The input says what lives and nothing about its past: what grows cannot be told from it alone.",
                   "Compare two of them: memtrace-report --baseline EARLIER LATER.");
  }
  if (facts.ended_at_limit()) {
    return Unknown(
        fmt::format("What filled the limit does not show: {} of native heap were live, and nothing in it grows.",
                    FormatBytes(totals.live_bytes)),
        "A snapshot near the limit tells more: MEMTRACE_SNAPSHOT_AT=50,70,80,90,95. The kernel's log names the kinds "
        "of memory: dmesg on the host.");
  }
  const Resolution resolution = ResolutionOf(*report.profile);
  if (report.suspects.empty() && resolution.is_poor()) {
    return Unknown(fmt::format("Too little was recorded to tell: {}, and only {} are live.", Words(resolution),
                               FormatBytes(totals.live_bytes)),
                   std::string(kHowToRecordMore));
  }
  return NoLeak(facts);
}

// --- Words ---

// What happened, before why. Empty if nothing did.
std::string Opening(const Case& facts) {
  const Incident& incident = facts.incident;
  const std::string limit = incident.owner == LimitOwner::kHost ? "the host had no memory left"
                            : facts.limit() ? fmt::format("the limit of {} was reached", facts.LimitText())
                                            : "the memory limit was reached";
  if (incident.kill != nullptr) {
    const std::optional<int64_t> time = incident.kill->time.unix_ns;
    const std::string when = time && *time > 0 ? fmt::format(" at {}", FormatUtc(static_cast<uint64_t>(*time))) : "";
    return fmt::format("The kernel killed {}{}: {}. ", facts.KilledText(), when, limit);
  }
  if (incident.other_was_killed) return fmt::format("The kernel killed another process of this cgroup: {}. ", limit);
  switch (incident.proof) {
    case Proof::kCounter:
      return "The kernel's counters show an OOM kill. ";
    case Proof::kRuntimeEvent:
      return "The container runtime reported an OOM. ";
    case Proof::kStateFlag:
      return "The container's state says that it was killed for memory. ";
    default:
      break;
  }
  if (facts.report.recorded && facts.ended_at_limit())
    return fmt::format(
        "It was killed with its cgroup at the limit of {}; only the kernel's log can prove that it was for memory. ",
        facts.LimitText());
  return "";
}

// What leaks was born all along. What was all born shortly before the end is one large piece of work that was cut off:
// at that moment it looks like growth that never dies.
void ExcuseLastBursts(Report* report) {
  constexpr double kLately = 0.2;      // of the process's life
  constexpr double kLongLife = 5;      // seconds; in a shorter one the scheduler decides what is late
  constexpr double kLatestWork = 0.1;  // of what it has allocated
  const double life_s = static_cast<double>(Excess(report->end_ns, report->started_ns)) / 1e9;
  for (Suspect& suspect : report->suspects) {
    const bool late = life_s > kLongLife && suspect.age_p90_s && *suspect.age_p90_s < kLately * life_s;
    const bool burst = suspect.age_p90_s && (late || suspect.age_p90_work < kLatestWork);
    if (!burst || suspect.kind != SuspectKind::kGrowing) continue;
    suspect.kind = SuspectKind::kStillFilling;
    suspect.confidence = Confidence::kPossible;
    suspect.why += fmt::format(
        " But all of it was allocated in the last {} of {}, the last {} of all that was allocated: one large piece "
        "of work that the kill cut off.",
        FormatSeconds(std::max(*suspect.age_p90_s, 0.1)), FormatSeconds(life_s), FormatShare(suspect.age_p90_work));
  }
  std::stable_sort(report->suspects.begin(), report->suspects.end(),
                   [](const Suspect& a, const Suspect& b) { return a.kind < b.kind; });
}

// Small or not: a reader who sees no other word of it would take "no leak suspect" for "nothing was lost".
std::string LostSentence(const Report& report) {
  const std::optional<LostBlocks> lost = SumLost(*report.profile, report.table);
  if (!lost || lost->allocations == 0) return "";
  return fmt::format(" {} in {} block{} {} lost for certain.", FormatBytes(lost->bytes), FormatCount(lost->allocations),
                     lost->allocations == 1 ? "" : "s", lost->allocations == 1 ? "is" : "are");
}

void AppendSettings(const Finding& finding, const Case& facts, std::vector<std::string>* advice) {
  const uint64_t limit = finding.recommended_limit.value_or(facts.limit().value_or(0));
  for (std::string& line : SettingLines(finding.setting, limit)) advice->push_back(std::move(line));
}

}  // namespace

bool Case::ended_at_limit() const {
  if (incident.is_oom() || incident.other_was_killed) return true;
  // Others may also send SIGKILL: the last that was seen of the cgroup must be near its limit.
  if (!report.recorded || report.state != "killed" || !report.cgroup.limit_bytes) return false;
  const std::vector<format::TimelinePoint>& points = report.profile->timeline;
  if (points.empty() || points.back().cgroup_usage_bytes == format::kUnknown) return false;
  return points.back().cgroup_usage_bytes >= *report.cgroup.limit_bytes / 100 * 95;
}

std::string Case::KilledText() const {
  if (incident.kill == nullptr) return "the process";
  return fmt::format("{} (pid {})", incident.kill->comm, incident.kill->pid);
}

std::string Case::LimitText() const { return limit() ? FormatBytes(*limit()) : "the cgroup"; }

Verdict Decide(Report* reported) {
  const Report& report = *reported;
  const Composition fallback = CompositionOf(report.memory, report.cgroup);
  const bool outside = report.incident.parts.usage && report.incident.parts.anon;
  const Case facts{report, report.incident, outside ? report.incident.parts : fallback};
  if (facts.ended_at_limit()) ExcuseLastBursts(reported);
  Winner winner;
  if (report.evidence != nullptr) Weigh(LimitCauses(), facts, &winner);
  Weigh(PartCauses(), facts, &winner);
  if (report.recorded) Weigh(HeapCauses(), facts, &winner);
  if (winner.cause == nullptr) winner = report.recorded ? WithRecording(facts) : WithoutRecording(facts);

  Finding& finding = winner.finding;
  Verdict verdict;
  verdict.cause = winner.cause;
  verdict.confidence = finding.confidence;
  verdict.summary = Opening(facts) + finding.sentence + LostSentence(report);
  verdict.evidence = report.incident.signs;
  for (std::string& line : finding.evidence) verdict.evidence.push_back(std::move(line));
  if (facts.ended_at_limit()) {
    for (std::string& line : BudgetLines(facts)) verdict.evidence.push_back(std::move(line));
  }
  verdict.time_to_limit_s = finding.time_to_limit_s;
  verdict.advice = std::move(finding.advice);
  if (!finding.recommended_why.empty()) {
    verdict.recommended_limit_bytes = finding.recommended_limit;
    verdict.advice.push_back(
        fmt::format("Recommended limit: {}, {}.", FormatBytes(*finding.recommended_limit), finding.recommended_why));
  }
  AppendSettings(finding, facts, &verdict.advice);
  return verdict;
}

}  // namespace memtrace::tools
