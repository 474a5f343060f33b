// Quantities for human eyes, always short, the same in every output.
#ifndef MEMTRACE_TOOLS_COMMON_QUANTITY_H_
#define MEMTRACE_TOOLS_COMMON_QUANTITY_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace memtrace::tools {

// "812 B", "12.3 MiB"
std::string FormatBytes(uint64_t bytes);
// "950", "12.3k", "4.5M"
std::string FormatCount(uint64_t count);
// "0.3 s", "45 s", "12 min", "3.4 h", "2.1 days"
std::string FormatSeconds(double seconds);
// "4.5 %", "0.03 %"
std::string FormatShare(double share);
// RFC 3339 in UTC with milliseconds: "2026-11-22T13:15:00.250Z"
std::string FormatUtc(uint64_t unix_ns);
// Lower-case hexadecimal of raw bytes.
std::string FormatHex(std::string_view bytes);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_COMMON_QUANTITY_H_
