// From the paths of a command line to processes and their states.
#ifndef MEMTRACE_TOOLS_READER_INPUTS_H_
#define MEMTRACE_TOOLS_READER_INPUTS_H_

#include <string>
#include <vector>

#include "tools/common/result.h"
#include "tools/reader/profile.h"

namespace memtrace::tools {

// The files that `path` names: itself, or, of a directory, all *.rec and *.snap in it and in its
// subdirectories one level down, by name. Fails where there is none.
Result<std::vector<std::string>> ExpandPath(const std::string& path);

// The states of one process, oldest first: snapshots, then the recording that goes on after them.
using ProcessStates = std::vector<Profile>;

// One entry per process: equal boot, PID, start time and executable. In the order of first appearance.
std::vector<ProcessStates> GroupByProcess(std::vector<Profile> profiles);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_READER_INPUTS_H_
