// The outside evidence in the machine-readable report: every fact that was read, with its file and line.
#ifndef MEMTRACE_TOOLS_RENDER_EVIDENCE_JSON_H_
#define MEMTRACE_TOOLS_RENDER_EVIDENCE_JSON_H_

#include <nlohmann/json.hpp>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

// The members of "oom" but for those on the container: "kills", and what the kernel printed beside them.
nlohmann::ordered_json KernelOomJson(const Evidence& evidence);

// "evidence": files, containers, events, samples, cgroups, declared limits, notices.
nlohmann::ordered_json EvidenceJson(const Evidence& evidence);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_EVIDENCE_JSON_H_
