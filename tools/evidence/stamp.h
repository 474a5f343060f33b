// The times that logs and runtimes write.
#ifndef MEMTRACE_TOOLS_EVIDENCE_STAMP_H_
#define MEMTRACE_TOOLS_EVIDENCE_STAMP_H_

#include <optional>
#include <string>
#include <string_view>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

// What stands in front of a message in a log.
struct Stamp {
  Moment moment;
  std::optional<double> clock_s;  // comparable within one log, whatever its zero is
  std::string origin;             // host and, with CONFIG_PRINTK_CALLER, the caller: who wrote this line
};

// `prefix` is the part of a line before the message. Known: "[12.345678]", "[Sat Apr 27 22:56:09 2019]" in any
// language, RFC 3339, "May 15 23:09:27 host kernel:", /dev/kmsg, seconds since 1970, "[T123]".
Stamp ParseStamp(std::string_view prefix);

// The host and caller of such a prefix; empty if it names none.
std::string OriginOf(std::string_view prefix);

// A line that begins with one of them, after quotation marks: it does not continue the line before.
bool BeginsWithStamp(std::string_view line);

// A date and time and nothing else.
bool IsDate(std::string_view text);

// "2021-07-26T03:23:05.133000386Z", "2021-06-30 10:15:00.12 +0000 UTC", "Tue, 29 Apr 2025 13:43:32 +0800". Only with a
// time zone; a year before 1971 is the zero time of a runtime and nothing.
std::optional<int64_t> ParseTime(std::string_view text);
// The same with its text; empty for a zero time.
Moment MomentOf(std::string_view text);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_STAMP_H_
