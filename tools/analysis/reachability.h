// What the search for lost blocks says: live blocks that no pointer leads to any more.
#ifndef MEMTRACE_TOOLS_ANALYSIS_REACHABILITY_H_
#define MEMTRACE_TOOLS_ANALYSIS_REACHABILITY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/analysis/sites.h"
#include "tools/reader/inputs.h"
#include "tools/reader/profile.h"

namespace memtrace::tools {

struct LostBlocks {
  uint64_t allocations = 0;
  uint64_t bytes = 0;
};

// Of all sites; nothing where it is not known.
std::optional<LostBlocks> SumLost(const Profile& profile, const SiteTable& table);

// A block that is lost stays so. Where the newest state was not asked, it takes over what the last one before it knows,
// of blocks that both have.
void CarryLost(ProcessStates* states);

// For --json: "not-looked", "under-way", "done", "no-memory", "no-copy", "not-stopped", "too-long", "unreadable",
// "busy".
std::string_view LookName(const Profile& profile);
// Why a snapshot that was asked for lost blocks does not know of them, a sentence; empty if it does, or nobody asked.
std::string WhyNotLooked(const Profile& profile);
// How long the program stood still for it and what that means; empty if nobody looked.
std::string HowLooked(const Profile& profile);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_REACHABILITY_H_
