#include "tools/analysis/explain.h"

#include <fmt/format.h>

#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

std::string GrowthSentence(const Suspect& suspect) {
  const Survival& s = suspect.survival;
  if (s.one_buffer)
    return "One buffer at this place is replaced by a larger one whenever it is full, and that went on lately.";
  std::string text = fmt::format("Of all bytes that the program allocated lately, {} came from here, and {} of them {}",
                                 FormatShare(s.window_share), FormatShare(s.never_dies),
                                 s.any_death ? "will never be freed" : "were never freed");
  if (suspect.growth_bytes_per_s)
    return text + fmt::format(": {}/s of growth.", FormatBytes(RoundToUint(*suspect.growth_bytes_per_s)));
  return text +
         fmt::format(": {} per {} allocated.", FormatBytes(RoundToUint(s.growth * 1048576)), FormatBytes(1048576));
}

// What fell, and from where to where. Requires survival.slowing != kNo: then the second is well below the first.
std::string FallSentence(const Survival& s) {
  return fmt::format("{} fell from {} to {} of all allocation",
                     s.fewer_stay ? "what comes from here to stay" : "what comes from here", FormatShare(s.faster),
                     FormatShare(s.slower));
}

std::string FillingSentence(const Survival& s) {
  constexpr std::string_view kLikeness = "more like a cache or table that is still filling than a leak.";
  if (s.one_buffer) return fmt::format(" But what is put into it comes more and more slowly: {}", kLikeness);
  if (s.slowing == Slowing::kNo) return fmt::format(" But less and less of it comes to stay: {}", kLikeness);
  return fmt::format(" But {}: {}", FallSentence(s), kLikeness);
}

std::string DoubtSentence(const Suspect& suspect, uint64_t work_bytes, const SuspectLimits& limits) {
  const Survival& s = suspect.survival;
  if (limits.building_up)
    return " The program allocated nearly everything in one moment and has freed hardly anything yet: a table that is "
           "being built looks the same.";
  if (suspect.kind == SuspectKind::kStillFilling) return FillingSentence(s);
  if (s.slowing != Slowing::kNo && suspect.confidence != Confidence::kConfirmed)
    return fmt::format(" It may still be filling: {}; one steady leak in fifteen looks so by chance.", FallSentence(s));
  if (s.any_death || s.slowing != Slowing::kNo) return "";
  return fmt::format(
      " In {} of allocation nothing of it has died, and its rate does not fall; a cache that has not begun "
      "to evict would look the same.",
      FormatBytes(work_bytes));
}

std::string TrendSentence(const SuspectEvidence& evidence) {
  if (evidence.points.empty()) return "";
  const std::string change = fmt::format("{} in the first, {} now", FormatBytes(evidence.points.front().live_bytes),
                                         FormatBytes(evidence.points.back().live_bytes));
  std::string text;
  if (evidence.trend == TrendWord::kRising) text = fmt::format(" It grew from snapshot to snapshot: {}.", change);
  if (evidence.trend == TrendWord::kFalling) text = fmt::format(" Older snapshots speak against it: {}.", change);
  if (evidence.still_there)
    text += fmt::format(" Of what lived at the first snapshot, {} still does.", FormatShare(*evidence.still_there));
  return text;
}

std::string LostSentence(const Suspect& suspect) {
  if (!suspect.lost) return "";
  if (suspect.live_allocations == 0) return "";
  if (suspect.lost->allocations == 0)
    return " Pointers to all of these blocks exist: a container or list that only grows, not memory that was "
           "forgotten.";
  return fmt::format(" {} of {} blocks ({}) are lost for certain: no pointer to them exists.",
                     FormatCount(suspect.lost->allocations), FormatCount(suspect.live_allocations),
                     FormatBytes(suspect.lost->bytes));
}

}  // namespace

std::string Explain(const Suspect& suspect, uint64_t work_bytes, const SuspectLimits& limits,
                    const SuspectEvidence& evidence) {
  std::string text = GrowthSentence(suspect) + DoubtSentence(suspect, work_bytes, limits);
  if (suspect.paths > 1) {
    text += fmt::format(" It is reached by {} call paths; the largest is shown.", suspect.paths);
  } else if (suspect.places > 1) {
    text += fmt::format(" It is allocated at {} places on the same call path; the largest is shown.", suspect.places);
  }
  return text + TrendSentence(evidence) + LostSentence(suspect);
}

}  // namespace memtrace::tools
