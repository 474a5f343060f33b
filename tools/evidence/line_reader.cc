#include "tools/evidence/line_reader.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "tools/evidence/anchors.h"

namespace memtrace::tools {
namespace {

constexpr size_t kBlock = size_t{1} << 20;
// What a line may need from those before it: `memory.events` is known by its fifth line.
constexpr size_t kLookBack = 4096;
// A stack trace, a list of tasks of other groups, other services' lines.
constexpr uint32_t kAttention = 400;

class Reader {
 public:
  explicit Reader(const std::function<bool(std::string_view, uint32_t)>& take) : take_(take) {}

  // Takes as much of `text` as can be judged; returns how much that was. `at_end`: all of it.
  size_t Process(std::string_view text, bool at_end) {
    size_t at = 0;
    while (at < text.size()) {
      if (in_long_line_) {
        const size_t end = text.find('\n', at);
        if (end == std::string_view::npos) return text.size();
        in_long_line_ = false;
        at = end + 1;
        continue;
      }
      if (attention_ == 0) {
        const size_t anchor = EvidenceAnchors().Find(text.substr(at));
        if (anchor == std::string_view::npos) return Skip(text, at, at_end);
        at = LineBegin(text, at, at + anchor);
        attention_ = kAttention;
      }
      const char* end = static_cast<const char*>(std::memchr(text.data() + at, '\n', text.size() - at));
      if (end == nullptr && !at_end && text.size() - at < kLongestLine) return at;
      const std::string_view line =
          text.substr(at, end != nullptr ? static_cast<size_t>(end - text.data()) - at : std::string_view::npos);
      Offer(line);
      at += line.size() + (end != nullptr ? 1 : 0);
      in_long_line_ = end == nullptr && !at_end;
    }
    return at;
  }

  LineStatistics statistics;

 private:
  void Offer(std::string_view line) {
    if (line.size() > kLongestLine) ++statistics.cut_lines;
    ++statistics.lines;
    const auto number =
        static_cast<uint32_t>(std::min<uint64_t>(statistics.lines, std::numeric_limits<uint32_t>::max()));
    attention_ = take_(line.substr(0, kLongestLine), number) ? kAttention : attention_ - 1;
  }

  // To the end of the last whole line, but for what a coming anchor may look back to.
  size_t Skip(std::string_view text, size_t at, bool at_end) {
    size_t to = text.size();
    if (!at_end) {
      const size_t keep = text.size() > kLookBack ? text.size() - kLookBack : 0;
      const size_t line_end = keep > at ? text.rfind('\n', keep) : std::string_view::npos;
      // A line without an end in sight is left behind as far as an anchor in it could begin.
      to = line_end != std::string_view::npos && line_end >= at ? line_end + 1 : at;
      if (to == at && text.size() - at >= kLongestLine) {
        to = text.size() - kLookBack;
      }
    }
    statistics.lines += static_cast<uint64_t>(
        std::count(text.begin() + static_cast<ptrdiff_t>(at), text.begin() + static_cast<ptrdiff_t>(to), '\n'));
    return to;
  }

  // Passes over the lines before the one that holds `anchor`, but for some; returns the beginning of the first of them.
  size_t LineBegin(std::string_view text, size_t at, size_t anchor) {
    const size_t earliest = anchor > at + kLookBack ? anchor - kLookBack : at;
    size_t begin = earliest;
    if (earliest > at) {
      const size_t line_end = text.find('\n', earliest);
      begin = line_end < anchor ? line_end + 1 : text.rfind('\n', earliest) + 1;  // npos + 1 is 0
      begin = std::max(begin, at);
    }
    statistics.lines += static_cast<uint64_t>(
        std::count(text.begin() + static_cast<ptrdiff_t>(at), text.begin() + static_cast<ptrdiff_t>(begin), '\n'));
    return begin;
  }

  const std::function<bool(std::string_view, uint32_t)>& take_;
  uint32_t attention_ = kAttention;
  bool in_long_line_ = false;
};

}  // namespace

LineStatistics ReadLines(const ByteSource& source, const std::function<bool(std::string_view, uint32_t)>& take) {
  Reader reader(take);
  std::string buffer;
  size_t held = 0;  // bytes of `buffer` that are not judged yet
  while (true) {
    if (buffer.size() < held + kBlock) buffer.resize(held + kBlock);
    const size_t count = source(std::span(buffer.data() + held, kBlock));
    reader.statistics.bytes += count;
    held += count;
    const size_t used = reader.Process(std::string_view(buffer.data(), held), count == 0);
    if (count == 0) return reader.statistics;
    std::memmove(buffer.data(), buffer.data() + used, held - used);
    held -= used;
  }
}

}  // namespace memtrace::tools
