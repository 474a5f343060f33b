#ifndef MEMTRACE_TOOLS_REPORT_EXIT_STATUS_H_
#define MEMTRACE_TOOLS_REPORT_EXIT_STATUS_H_

namespace memtrace::tools {

inline constexpr int kExitOk = 0;
inline constexpr int kExitNoReport = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitDamagedInput = 3;
inline constexpr int kExitCondition = 4;  // --fail-on

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_REPORT_EXIT_STATUS_H_
