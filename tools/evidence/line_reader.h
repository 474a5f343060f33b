// Lines out of a stream, with bounded memory, skipping what no parser wants.
#ifndef MEMTRACE_TOOLS_EVIDENCE_LINE_READER_H_
#define MEMTRACE_TOOLS_EVIDENCE_LINE_READER_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace memtrace::tools {

// Fills the buffer; the number of bytes, 0 at the end. A failed read is an end, too: its reason is the owner's.
using ByteSource = std::function<size_t(std::span<char>)>;

struct LineStatistics {
  uint64_t bytes = 0;
  uint64_t lines = 0;
  uint64_t cut_lines = 0;  // beyond kLongestLine, whose rest was not looked at
};

inline constexpr size_t kLongestLine = size_t{256} << 10;

// Calls `take` for lines without their end and with their number, from 1. It says whether it wanted the line. All lines
// are offered at the beginning and around an anchor, and as long as one of the last few hundred was wanted.
LineStatistics ReadLines(const ByteSource& source, const std::function<bool(std::string_view, uint32_t)>& take);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_LINE_READER_H_
