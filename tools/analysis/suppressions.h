// Suspects that the user knows and excuses, in the syntax of LeakSanitizer's suppression files.
#ifndef MEMTRACE_TOOLS_ANALYSIS_SUPPRESSIONS_H_
#define MEMTRACE_TOOLS_ANALYSIS_SUPPRESSIONS_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/common/result.h"
#include "tools/symbols/frames.h"

namespace memtrace::tools {

class Suppressions {
 public:
  // Lines "leak:PATTERN"; empty ones and those that begin with # say nothing, and what is meant for other sanitizers
  // ("race:...") is passed over. Fails where the file cannot be read or a line is nothing of this.
  static Result<Suppressions> Read(const std::string& file);
  // The same of a text; `name` is for messages.
  static Result<Suppressions> Parse(std::string_view text, const std::string& name);

  // Whether one frame's function, source file or module has a pattern in it.
  bool Match(const FrameTable& frames, std::span<const uint32_t> stack) const;
  bool empty() const { return patterns_.empty(); }

 private:
  std::vector<std::string> patterns_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_SUPPRESSIONS_H_
