// Whether the process of a recording still runs.
#ifndef MEMTRACE_TOOLS_ANALYSIS_PROCESS_STATE_H_
#define MEMTRACE_TOOLS_ANALYSIS_PROCESS_STATE_H_

#include <string>
#include <string_view>

#include "libmemtrace/format/recording.h"

namespace memtrace::tools {

// "snapshot", "exited", "exec", or for a recording that nobody closed: "running" if `proc` ("/proc", or a
// copy of one) shows, under the same boot id, a process with this start time whose innermost PID is the recorded one;
// else "killed".
std::string_view StateName(const format::Header& header, const std::string& proc = "/proc");

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_PROCESS_STATE_H_
