// From one recording: is it a leak, and when does it hurt. Evidence from outside of the process joins here.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "tools/analysis/report.h"
#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

// Libraries and programs that manage a heap of their own in anonymous mappings.
constexpr std::string_view kManagedRuntimes[] = {"libjvm.so",  "/java",         "/node",
                                                 "libnode.so", "libcoreclr.so", "libmono"};

bool HasManagedRuntime(const Profile& profile) {
  const auto names_runtime = [](std::string_view path) {
    return std::any_of(std::begin(kManagedRuntimes), std::end(kManagedRuntimes),
                       [path](std::string_view runtime) { return path.find(runtime) != std::string_view::npos; });
  };
  return std::any_of(profile.modules.begin(), profile.modules.end(),
                     [&](const Module& module) { return names_runtime(module.path); });
}

// Other anonymous memory is what fills the process, and a runtime that keeps such a heap is loaded.
bool ManagedHeapIsEvident(const Report& report) {
  const Bytes other = report.memory.other_anon_bytes;
  return other && *other > uint64_t{64} << 20 && *other / 2 > report.profile->totals.live_bytes &&
         HasManagedRuntime(*report.profile);
}

std::string SiteName(const Report& report, const Suspect& suspect) {
  const Frame* frame = NamingFrame(*report.frames, report.frames->Stack(report.table.sites[suspect.site].node));
  return frame == nullptr ? "an unknown stack" : FrameText(*frame);
}

double GrowthPerSecond(const Report& report) {
  double sum = 0;
  for (const Suspect& suspect : report.suspects) {
    if (suspect.kind == SuspectKind::kGrowing) sum += suspect.growth_bytes_per_s.value_or(0);
  }
  return sum;
}

void DecideLeak(const Report& report, Verdict* verdict) {
  const Suspect& first = report.suspects.front();
  verdict->cause = "native-leak";
  verdict->confidence = first.confidence;
  verdict->summary = fmt::format("Memory allocated by {} is not given back: {} are live", SiteName(report, first),
                                 FormatBytes(first.live_bytes));
  const double growth = GrowthPerSecond(report);
  if (growth > 0) verdict->summary += fmt::format(", {}/s more", FormatBytes(RoundToUint(growth)));
  verdict->summary += ".";
  const CgroupFacts& cgroup = report.cgroup;
  const Bytes used = cgroup.working_set_bytes ? cgroup.working_set_bytes : cgroup.usage_bytes;
  if (growth > 0 && cgroup.limit_bytes && used) {
    verdict->time_to_limit_s = static_cast<double>(Excess(*cgroup.limit_bytes, *used)) / growth;
    verdict->summary += fmt::format(" At this rate the limit of {} is {} away.", FormatBytes(*cgroup.limit_bytes),
                                    FormatSeconds(*verdict->time_to_limit_s));
  }
  for (const Suspect& suspect : report.suspects) {
    verdict->evidence.push_back(fmt::format("{}: {}", SiteName(report, suspect), suspect.why));
  }
  verdict->advice.emplace_back("Follow the first suspect's stack: who should free these blocks, and when?");
  if (first.confidence != Confidence::kConfirmed) {
    verdict->advice.emplace_back("Two more snapshots some time apart (memtrace snapshot) confirm or clear it.");
  }
}

void DecideNoLeak(const Report& report, Verdict* verdict) {
  const Totals& totals = report.profile->totals;
  verdict->cause = "none";
  verdict->confidence =
      report.profile->losses.empty() && report.DropReason().empty() ? Confidence::kLikely : Confidence::kPossible;
  verdict->summary =
      fmt::format("No leak suspect: no site keeps a share of what it allocates that matters next to the {} live.",
                  FormatBytes(totals.live_bytes));
  if (!report.suspects.empty()) {
    verdict->confidence = Confidence::kPossible;
    const Suspect& first = report.suspects.front();
    verdict->summary = fmt::format("No leak is evident, but {} is still filling: {} live and nothing freed yet.",
                                   SiteName(report, first), FormatBytes(first.live_bytes));
    for (const Suspect& suspect : report.suspects) {
      verdict->evidence.push_back(fmt::format("{}: {}", SiteName(report, suspect), suspect.why));
    }
    verdict->advice.emplace_back("Take another snapshot later: a cache stops growing, a leak does not.");
  }
  verdict->evidence.push_back(fmt::format("{} of {} allocated were freed again.", FormatBytes(totals.freed_bytes),
                                          FormatBytes(totals.allocated_bytes)));
  // The working set at its highest, a quarter more: the page cache in the peak can be reclaimed.
  uint64_t highest = 0;
  for (const format::TimelinePoint& point : report.profile->timeline) {
    if (point.cgroup_working_set_bytes != format::kUnknown) highest = std::max(highest, point.cgroup_working_set_bytes);
  }
  highest = std::max(highest, report.cgroup.working_set_bytes.value_or(0));
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  if (highest > 0 && highest < (uint64_t{1} << 60)) {
    verdict->recommended_limit_bytes = (highest + highest / 4 + kMiB - 1) / kMiB * kMiB;
  }
}

void DecideUnknown(std::string summary, std::string advice, Verdict* verdict) {
  verdict->cause = "unknown";
  verdict->summary = std::move(summary);
  verdict->advice.push_back(std::move(advice));
}

}  // namespace

Verdict Decide(const Report& report) {
  Verdict verdict;
  const Totals& totals = report.profile->totals;
  const bool leaks = !report.suspects.empty() && report.suspects.front().kind == SuspectKind::kGrowing;
  constexpr uint32_t kBlind = format::kFlagExecutableHasOwnMalloc | format::kFlagShadowedByPreload;
  if (leaks) {
    DecideLeak(report, &verdict);
  } else if (totals.allocations == 0 && totals.live_allocations == 0) {
    DecideUnknown("Nothing was recorded: the program allocated nothing that memtrace could see.",
                  "memtrace doctor says why the library may not see a program.", &verdict);
  } else if ((report.profile->header.flags & kBlind) != 0) {
    DecideUnknown("No leak suspect, but memtrace saw only part of the program's allocations.",
                  "memtrace doctor says what was not seen and why.", &verdict);
  } else if (ManagedHeapIsEvident(report)) {
    verdict.cause = "managed-heap";
    verdict.summary = fmt::format("{} of anonymous memory is not the native heap; a language runtime manages it.",
                                  FormatBytes(*report.memory.other_anon_bytes));
    verdict.advice.emplace_back(
        "Bound the runtime's heap (-Xmx, --max-old-space-size, GOMEMLIMIT) below the container's limit.");
  } else {
    DecideNoLeak(report, &verdict);
  }
  return verdict;
}

}  // namespace memtrace::tools
