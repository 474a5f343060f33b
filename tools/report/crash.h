// Says where the tool itself went wrong.
#ifndef MEMTRACE_TOOLS_REPORT_CRASH_H_
#define MEMTRACE_TOOLS_REPORT_CRASH_H_

namespace memtrace::tools {

// From now on fatal signals and std::terminate print a stack with file:line, where known, to standard error, and
// then end the process as they would have.
void InstallCrashHandler();

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_REPORT_CRASH_H_
