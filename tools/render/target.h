// Who was recorded and how, as every output says it.
#ifndef MEMTRACE_TOOLS_RENDER_TARGET_H_
#define MEMTRACE_TOOLS_RENDER_TARGET_H_

#include <string>
#include <vector>

#include "tools/analysis/report.h"

namespace memtrace::tools {

// Empty texts are unknown.
struct Target {
  std::string exe;
  std::vector<std::string> command;
  std::string hostname;
  std::string container_id;
  std::string libc;
  double uptime_s = 0;
};
Target DescribeTarget(const Report& report);

// "exact", "fixed" or "auto"; empty if the header is damaged.
std::string SamplingName(const format::Header& header);
// In words, such as "one sample per 8.0 KiB, one per 64.0 KiB at times".
std::string SamplingText(const Profile& profile);
const format::Rate& CurrentRate(const format::Header& header);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_TARGET_H_
