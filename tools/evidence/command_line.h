// Which limits a `docker run` line sets.
#ifndef MEMTRACE_TOOLS_EVIDENCE_COMMAND_LINE_H_
#define MEMTRACE_TOOLS_EVIDENCE_COMMAND_LINE_H_

#include <optional>
#include <string_view>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

// `line` holds "docker run" or podman's, nerdctl's, "create" or "update" somewhere; lines that "\" joined are one.
// Nothing if it sets no limit. Without its place.
std::optional<DeclaredLimits> ParseRunLine(std::string_view line);

bool HasRunCommand(std::string_view line);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_COMMAND_LINE_H_
