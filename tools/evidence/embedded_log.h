// Log lines inside of documents: journald's entries, json-file logs, events that quote the kernel.
#ifndef MEMTRACE_TOOLS_EVIDENCE_EMBEDDED_LOG_H_
#define MEMTRACE_TOOLS_EVIDENCE_EMBEDDED_LOG_H_

#include <functional>
#include <optional>
#include <string_view>

#include "tools/evidence/json_access.h"
#include "tools/evidence/stamp.h"

namespace memtrace::tools {

// An entry of journald, or an object with a message and a time, as log shippers write them, also a few levels deep.
bool IsLogEntry(const JsonValue& document);
// What stands beside the message: journald's and the usual names of time and host.
Stamp StampOf(const JsonValue& entry);
// Every text in `document`, in order, with the nearest time that stands beside it; of an entry only its message; of
// numbers in an array the bytes, as journald writes what is no UTF-8.
void ForEachText(const JsonValue& document, const std::function<void(std::string_view, const Stamp&)>& visit);

// Fields of one entry that have a line each (journalctl -o export and -o verbose): what is known of its time so far.
class FieldLines {
 public:
  // The message of an entry, if this line is it. `is_field`: it was some other part of an entry.
  std::optional<std::string_view> Take(std::string_view line, bool* is_field);
  const Stamp& stamp() const { return stamp_; }

 private:
  Stamp stamp_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_EMBEDDED_LOG_H_
