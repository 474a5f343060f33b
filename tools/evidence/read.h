// From files to Evidence. The kind of a file is recognised by its content, never by its name. Logs are read in a
// stream with bounded memory; documents (JSON, YAML) up to kLargestDocument.
#ifndef MEMTRACE_TOOLS_EVIDENCE_READ_H_
#define MEMTRACE_TOOLS_EVIDENCE_READ_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "tools/common/result.h"
#include "tools/evidence/evidence.h"

namespace memtrace::tools {

inline constexpr size_t kLargestDocument = size_t{64} << 20;

// Adds what `path` holds, a regular file, a pipe, or "-". Fails where it cannot be read. False if it is no evidence of
// any known kind; a log in which nothing happened is one. `held` was read from it before.
Result<bool> ReadEvidence(const std::string& path, Evidence* evidence, std::string_view held = {});

// The same for bytes that were read already, and for tests.
bool ReadEvidenceText(std::string_view text, std::string_view name, Evidence* evidence);

// Adds the files of a cgroup, live or copied: a directory with memory.max, memory.limit_in_bytes or others of their
// kind. False if it has none.
bool ReadCgroupDirectory(const std::string& path, Evidence* evidence);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_READ_H_
