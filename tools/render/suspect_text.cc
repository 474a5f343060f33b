#include "tools/render/suspect_text.h"

#include <fmt/format.h>

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
  const Frame* frame = NamingFrame(*report.frames, report.frames->Stack(report.table.sites[suspect.site].node));
  return fmt::format("{} in {} block{} that {} allocated {} live{}.", FormatBytes(suspect.live_bytes),
                     FormatCount(suspect.live_allocations), suspect.live_allocations == 1 ? "" : "s",
                     frame == nullptr ? "an unknown stack" : FrameText(*frame),
                     suspect.live_allocations == 1 ? "is" : "are", shares.empty() ? "" : ", " + shares);
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

}  // namespace

std::string SuspectHeading(const Suspect& suspect, size_t rank) {
  return fmt::format("Problem suspect {} [{}] {}, {}", rank, suspect.id, Name(suspect.kind), Name(suspect.confidence));
}

std::string SuspectParagraph(const Report& report, const Suspect& suspect) {
  std::string text = HowMuch(report, suspect) + SinceWhen(suspect) + " " + suspect.why + WhenFull(report, suspect) +
                     HowSure(report, suspect);
  for (size_t i = 0; i < suspect.related.size(); ++i)
    text += (i == 0 ? " Its calls begin like those of " : ", ") + suspect.related[i];
  return suspect.related.empty() ? text : text + ".";
}

}  // namespace memtrace::tools
