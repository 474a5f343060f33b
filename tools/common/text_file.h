// What users write for us: small text files of one entry a line, with comments.
#ifndef MEMTRACE_TOOLS_COMMON_TEXT_FILE_H_
#define MEMTRACE_TOOLS_COMMON_TEXT_FILE_H_

#include <string>
#include <string_view>
#include <vector>

#include "tools/common/result.h"

namespace memtrace::tools {

// The whole file. `what` is for the message: "cannot read the suppressions FILE".
Result<std::string> ReadTextFile(const std::string& file, std::string_view what);

// The directory that an XDG variable names, else `below_home` in $HOME; empty if neither is an absolute path
// (XDG Base Directory Specification).
std::string UserDirectory(const char* variable, std::string_view below_home);

struct Entry {
  size_t line;
  std::string_view text;  // without blanks at its ends
};
// The lines that say something: empty ones and those that begin with # do not. Views into `text`.
std::vector<Entry> Entries(std::string_view text);

// '*' stands for any text; ^ at the beginning and $ at the end bind the pattern to those of the text, else it may
// stand anywhere in it (sanitizer_common, TemplateMatch).
bool MatchesTemplate(std::string_view pattern, std::string_view text);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_COMMON_TEXT_FILE_H_
