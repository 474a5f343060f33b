// Text to JSON values, also from YAML, bounded in depth and size.
#ifndef MEMTRACE_TOOLS_EVIDENCE_PARSE_DOCUMENT_H_
#define MEMTRACE_TOOLS_EVIDENCE_PARSE_DOCUMENT_H_

#include <string_view>
#include <vector>

#include "tools/evidence/json_access.h"

namespace memtrace::tools {

// What lies deeper is left out; nothing that is read here does.
inline constexpr int kDeepestJson = 64;

// Nothing if it is no JSON.
std::optional<JsonValue> ParseJson(std::string_view text);

// The values that stand one after the other in `text`: `journalctl -o json-pretty`, several `docker inspect`.
std::vector<std::string_view> SplitJson(std::string_view text);

// The documents of a YAML stream. Empty if it is no YAML or too large when its aliases are written out.
std::vector<JsonValue> ParseYaml(std::string_view text);
// Has a line at the margin that begins a Compose file or a Kubernetes object.
bool LooksLikeYaml(std::string_view head);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_PARSE_DOCUMENT_H_
