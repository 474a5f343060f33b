// Lines of a log that are no kill but decide between causes.
#ifndef MEMTRACE_TOOLS_EVIDENCE_NOTICES_H_
#define MEMTRACE_TOOLS_EVIDENCE_NOTICES_H_

#include <optional>
#include <string_view>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

// Without its place.
std::optional<Notice> ParseNotice(std::string_view line);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_NOTICES_H_
