#include "tools/analysis/reachability.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

struct LookWords {
  std::string_view name;
  std::string_view why_not;
};

// By format::LookState.
constexpr LookWords kWords[] = {
    {"not-looked", ""},
    {"under-way", "the search had not ended when this snapshot was read, or its process did not live to tell"},
    {"done", ""},
    {"no-memory", "the process was too close to its memory limit for a copy of it"},
    {"no-copy", "the kernel refused to copy the process"},
    {"not-stopped", "the threads could not be stopped for it"},
    {"too-long", "the search took too long and was given up"},
    {"unreadable", "/proc or the recording could not be read"},
    {"busy", "the search for the snapshot before had not ended"},
};

const LookWords& WordsOf(const Profile& profile) {
  static constexpr LookWords kNewer = {"unknown", "this program does not know the answer that is in the file"};
  const uint32_t look = profile.header.look;
  return look < std::size(kWords) ? kWords[look] : kNewer;
}

}  // namespace

std::optional<LostBlocks> SumLost(const Profile& profile, const SiteTable& table) {
  if (!profile.looked()) return std::nullopt;
  LostBlocks sum;
  for (const Site& site : table.sites) {
    sum.allocations = SaturatingAdd(sum.allocations, site.lost_allocations);
    sum.bytes = SaturatingAdd(sum.bytes, site.lost_bytes);
  }
  return sum;
}

void CarryLost(ProcessStates* states) {
  Profile& newest = states->back();
  if (newest.header.look != static_cast<uint32_t>(format::LookState::kNone)) return;
  const auto older = std::find_if(states->rbegin() + 1, states->rend(), [](const Profile& p) { return p.looked(); });
  if (older == states->rend()) return;
  newest.header.look = older->header.look;
  newest.header.look_pause_ns = older->header.look_pause_ns;
  newest.header.look_ns = older->header.look_ns;
  auto then = older->live.cbegin();
  for (LiveBlock& block : newest.live) {
    while (then != older->live.cend() && then->address < block.address) ++then;
    if (then == older->live.cend()) return;
    block.lost = then->lost && then->address == block.address && then->birth == block.birth &&
                 then->size == block.size && then->node == block.node;
  }
}

std::string_view LookName(const Profile& profile) { return WordsOf(profile).name; }

std::string WhyNotLooked(const Profile& profile) {
  const LookWords& words = WordsOf(profile);
  if (words.why_not.empty()) return "";
  std::string text = fmt::format("Which blocks are lost is not known: {}", words.why_not);
  if (const uint32_t error = profile.header.look_error; error != 0)
    text += fmt::format(" ({})", strerror(static_cast<int>(error & 0xfff)));
  return text + ".";
}

std::string HowLooked(const Profile& profile) {
  if (!profile.looked()) return "";
  return fmt::format("looked for in a copy of the process, for which it stood still for {:.1f} ms",
                     static_cast<double>(profile.header.look_pause_ns) / 1e6);
}

}  // namespace memtrace::tools
