#include "tools/render/suspect_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

double Share(uint64_t part, uint64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

std::string HowMuch(const Report& report, const Suspect& suspect) {
  const uint64_t heap = report.profile->totals.live_bytes;
  std::string shares;
  if (heap > 0) shares = fmt::format("{} of the native heap", FormatShare(Share(suspect.live_bytes, heap)));
  if (const Bytes& limit = report.cgroup.limit_bytes; limit && *limit > 0) {
    shares += fmt::format("{}{} of the limit of {}", shares.empty() ? "" : ", ",
                          FormatShare(Share(suspect.live_bytes, *limit)), FormatBytes(*limit));
  }
  return fmt::format("{} in {} block{} that {}{} allocated {} live{}.", FormatBytes(suspect.live_bytes),
                     FormatCount(suspect.live_allocations), suspect.live_allocations == 1 ? "" : "s",
                     PlaceOf(suspect, report.table, report.frames.get()),
                     suspect.below_point ? " and what it calls" : "", suspect.live_allocations == 1 ? "is" : "are",
                     shares.empty() ? "" : ", " + shares);
}

std::string SinceWhen(const Suspect& suspect) {
  if (!suspect.age_p50_s || !suspect.age_p90_s) return "";
  return fmt::format(" Half of these bytes are older than {}, a tenth older than {}.",
                     FormatSeconds(*suspect.age_p50_s), FormatSeconds(*suspect.age_p90_s));
}

// Of a process that still runs: of a dead one the limit was reached, or does not matter any more.
std::string WhenFull(const Report& report, const Suspect& suspect) {
  const CgroupFacts& cgroup = report.cgroup;
  const Bytes used = cgroup.working_set_bytes ? cgroup.working_set_bytes : cgroup.usage_bytes;
  const double growth = suspect.growth_bytes_per_s.value_or(0);
  const bool goes_on = report.state == "running" || report.state == "snapshot";
  if (!goes_on || !cgroup.limit_bytes || !used || growth < 1) return "";
  return fmt::format(" Alone it fills what is left of the limit in {}.",
                     FormatSeconds(static_cast<double>(Excess(*cgroup.limit_bytes, *used)) / growth));
}

std::string HowSure(const Report& report, const Suspect& suspect) {
  const bool exact = report.profile->CoarsestRate() <= 1 && suspect.samples == suspect.live_allocations;
  return fmt::format(
      " Confidence: {}, {}.", Name(suspect.confidence),
      exact ? "every block was recorded"
            : fmt::format("from {} recorded block{}", FormatCount(suspect.samples), suspect.samples == 1 ? "" : "s"));
}

// The closest one by its rank, and how many more.
std::string Relations(const Report& report, const Suspect& suspect) {
  if (suspect.related.empty()) return "";
  const Relation& closest = suspect.related.front();
  const auto found = std::find_if(report.suspects.begin(), report.suspects.end(),
                                  [&](const Suspect& other) { return other.id == closest.id; });
  if (found == report.suspects.end()) return "";
  std::string text =
      fmt::format(" Its call path begins like that of suspect {} [{}]: they share {} frame{}",
                  found - report.suspects.begin() + 1, closest.id, closest.frames, closest.frames == 1 ? "" : "s");
  const size_t more = suspect.related.size() - 1;
  if (more > 0) text += fmt::format("; so do {} more", more);
  return text + ".";
}

}  // namespace

std::string SuspectHeading(const Suspect& suspect, size_t rank) {
  return fmt::format("Problem suspect {} [{}] {}, {}", rank, suspect.id, Words(BehaviourOf(suspect.kind)),
                     Name(suspect.confidence));
}

std::string SuspectParagraph(const Report& report, const Suspect& suspect) {
  const std::string text = HowMuch(report, suspect) + SinceWhen(suspect) + " " + suspect.why +
                           WhenFull(report, suspect) + HowSure(report, suspect);
  return text + Relations(report, suspect);
}

}  // namespace memtrace::tools
