// A report's live memory next to that of an earlier snapshot, or of another run of the same program.
#ifndef MEMTRACE_TOOLS_ANALYSIS_BASELINE_H_
#define MEMTRACE_TOOLS_ANALYSIS_BASELINE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tools/analysis/sites.h"
#include "tools/reader/profile.h"
#include "tools/symbols/frames.h"

namespace memtrace::tools {

struct BlocksAndBytes {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
};

// What became of the live memory of one site. now = survived + fresh, before = survived + freed.
struct SiteDifference {
  BlocksAndBytes before;
  BlocksAndBytes now;
  BlocksAndBytes survived;  // these three only where Baseline::follows_blocks
  BlocksAndBytes fresh;
  BlocksAndBytes freed;

  int64_t bytes() const { return static_cast<int64_t>(now.bytes - before.bytes); }
  int64_t blocks() const { return static_cast<int64_t>(now.blocks - before.blocks); }
};

struct Baseline {
  std::unique_ptr<const Profile> profile;
  std::unique_ptr<FrameTable> frames;  // of *profile
  SiteTable table;                     // of *profile
  // The baseline is an earlier state of the same process, so a block is known by its birth.
  bool follows_blocks = false;
  std::vector<SiteDifference> sites;    // indexed as the report's sites
  std::vector<uint32_t> gone;           // indices into table.sites: with live bytes, and no such site in the report
  std::vector<SiteDifference> of_gone;  // indexed as `gone`
  SiteDifference total;
};

// Sites are the same where their frames are (Site::id), else, as in another build of the program, where the names of
// their frames are. `frames` and `symbolizer` name the report's and the baseline's frames.
Baseline Compare(Profile baseline, const Profile& now, const SiteTable& table, FrameTable* frames,
                 Symbolizer* symbolizer);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_BASELINE_H_
