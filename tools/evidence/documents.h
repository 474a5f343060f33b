// Evidence in documents: what the container runtimes' commands print as JSON or YAML.
#ifndef MEMTRACE_TOOLS_EVIDENCE_DOCUMENTS_H_
#define MEMTRACE_TOOLS_EVIDENCE_DOCUMENTS_H_

#include "tools/evidence/json_access.h"

namespace memtrace::tools {

// What recognises a document by its keys and takes its facts.
struct DocumentReader {
  Evidence* evidence;
  Locator* places;
};

// Each returns false for a document of another kind.
bool TakeDockerInspect(const JsonValue& document, const DocumentReader& to);  // also podman's, one State, `docker ps`
bool TakeRuntimeEvent(const JsonValue& document, const DocumentReader& to);   // docker and podman events
bool TakeStats(const JsonValue& document, const DocumentReader& to);          // docker and podman stats, Docker's API
bool TakeCriInspect(const JsonValue& document, const DocumentReader& to);  // crictl inspect and ps, ctr container info
bool TakeKubernetes(const JsonValue& document, const DocumentReader& to);  // pods, events, lists, workloads
bool TakeCompose(const JsonValue& document, const DocumentReader& to);

// All of them. An array is taken element by element.
bool TakeDocument(const JsonValue& document, const DocumentReader& to);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_DOCUMENTS_H_
