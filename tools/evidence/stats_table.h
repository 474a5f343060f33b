// The tables of `docker stats`, `podman stats` and `kubectl top pod`.
#ifndef MEMTRACE_TOOLS_EVIDENCE_STATS_TABLE_H_
#define MEMTRACE_TOOLS_EVIDENCE_STATS_TABLE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

class StatsTable {
 public:
  StatsTable(uint32_t file, Evidence* evidence) : file_(file), evidence_(*evidence) {}
  bool Take(std::string_view line, uint32_t number);

 private:
  const uint32_t file_;
  Evidence& evidence_;
  std::vector<std::string> header_;  // of the table that the next line may go on
};

// "456MiB / 512MiB"; "-- / --" is nothing twice.
struct UsageOfLimit {
  Number usage_bytes;
  Number limit_bytes;
};
std::optional<UsageOfLimit> ParseUsageOfLimit(std::string_view text);

inline constexpr size_t kMostSamples = 1000000;

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_STATS_TABLE_H_
