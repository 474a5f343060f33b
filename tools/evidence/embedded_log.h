// Log lines inside of documents: journald's entries, json-file logs, events that quote the kernel.
#ifndef MEMTRACE_TOOLS_EVIDENCE_EMBEDDED_LOG_H_
#define MEMTRACE_TOOLS_EVIDENCE_EMBEDDED_LOG_H_

#include <functional>
#include <string_view>

#include "tools/evidence/json_access.h"
#include "tools/evidence/stamp.h"

namespace memtrace::tools {

// An entry of journald, or an object with one message and one time, as log shippers write them.
bool IsLogEntry(const JsonValue& document);
// What stands beside the message: journald's and the usual names of time and host.
Stamp StampOf(const JsonValue& entry);
// Every text in `document`, in order; of numbers in an array its bytes, as journald writes what is no UTF-8.
void ForEachText(const JsonValue& document, const std::function<void(std::string_view)>& visit);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_EMBEDDED_LOG_H_
