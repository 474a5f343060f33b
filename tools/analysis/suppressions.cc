#include "tools/analysis/suppressions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace memtrace::tools {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view Trimmed(std::string_view line) {
  const size_t begin = line.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

bool MatchesTemplate(std::string_view pattern, std::string_view text) {
  const bool from_start = pattern.starts_with('^');
  if (from_start) pattern.remove_prefix(1);
  const bool to_end = pattern.ends_with('$');
  if (to_end) pattern.remove_suffix(1);
  // Greedy from the left: the first place of each part leaves the most for the rest.
  bool bound = from_start;
  while (true) {
    const size_t star = pattern.find('*');
    const std::string_view part = pattern.substr(0, star);
    const bool last = star == std::string_view::npos;
    if (last && to_end) return bound ? text == part : text.ends_with(part);
    const size_t at = bound ? (text.starts_with(part) ? 0 : std::string_view::npos) : text.find(part);
    if (at == std::string_view::npos) return false;
    if (last) return true;
    text.remove_prefix(at + part.size());
    pattern.remove_prefix(star + 1);
    bound = false;
  }
}

Result<Suppressions> Suppressions::Parse(std::string_view text, const std::string& name) {
  Suppressions suppressions;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.starts_with('#')) continue;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon + 1 == line.size()) {
      return Error{ErrorCode::kUsage, fmt::format("{}:{}: a line must read leak:PATTERN", name, number), ""};
    }
    if (line.substr(0, colon) == "leak") suppressions.patterns_.emplace_back(line.substr(colon + 1));
  }
  return suppressions;
}

Result<Suppressions> Suppressions::Read(const std::string& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in.is_open() || in.bad() || errno == EISDIR)
    return Error{ErrorCode::kUnreadable, "cannot read the suppressions " + file, std::strerror(errno)};
  return Parse(text, file);
}

bool Suppressions::Match(const FrameTable& frames, std::span<const uint32_t> stack) const {
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const std::string& pattern) {
    return std::any_of(stack.begin(), stack.end(), [&](uint32_t index) {
      const Frame& frame = frames.frame(index);
      return MatchesTemplate(pattern, frame.source.function) || MatchesTemplate(pattern, frame.source.file) ||
             (frame.module != nullptr && MatchesTemplate(pattern, frame.module->path));
    });
  });
}

}  // namespace memtrace::tools
