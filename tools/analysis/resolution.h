// How small a leak the recording shows.
#ifndef MEMTRACE_TOOLS_ANALYSIS_RESOLUTION_H_
#define MEMTRACE_TOOLS_ANALYSIS_RESOLUTION_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/reader/profile.h"

namespace memtrace::tools {

struct Resolution {
  double bytes_per_sample = 1;  // what one recorded block stands for; of all that lives, or of what came lately
  double unseen_bytes = 0;      // a leak of small blocks shows from here on; 0: every block was recorded
  uint64_t live_bytes = 0;

  // What may go unseen is nobody's problem.
  bool is_fine() const;
  // It is too much to say anything of a heap in which no leak was found.
  bool is_poor() const;
};

Resolution ResolutionOf(const Profile& profile);

// "one block was recorded of each ...". Requires unseen_bytes > 0.
std::string Words(const Resolution& resolution);

inline constexpr std::string_view kHowToRecordMore =
    "Let it run longer, or record more: MEMTRACE_SAMPLE=1, or MEMTRACE_BUDGET=5%.";

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_RESOLUTION_H_
