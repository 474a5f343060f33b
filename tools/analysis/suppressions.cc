#include "tools/analysis/suppressions.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/text_file.h"

namespace memtrace::tools {

Result<Suppressions> Suppressions::Parse(std::string_view text, const std::string& name) {
  Suppressions suppressions;
  for (const Entry& entry : Entries(text)) {
    const size_t colon = entry.text.find(':');
    if (colon == std::string_view::npos || colon + 1 == entry.text.size())
      return Error{ErrorCode::kUsage, fmt::format("{}:{}: a line must read leak:PATTERN", name, entry.line), ""};
    if (entry.text.substr(0, colon) == "leak") suppressions.patterns_.emplace_back(entry.text.substr(colon + 1));
  }
  return suppressions;
}

Result<Suppressions> Suppressions::Read(const std::string& file) {
  const Result<std::string> text = ReadTextFile(file, "suppressions");
  return text.ok() ? Parse(text.value(), file) : Result<Suppressions>(text.error());
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
