// Text from outside as text that others can read.
#ifndef MEMTRACE_TOOLS_COMMON_UTF8_H_
#define MEMTRACE_TOOLS_COMMON_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace memtrace::tools {

// What is not UTF-8 (as format::CharacterBytes has it) becomes U+FFFD, one for each byte.
std::string ValidUtf8(std::string_view text);

// How many characters; bytes that are not UTF-8 count as one each. Wide and combining ones count as one too.
size_t CountCharacters(std::string_view text);

// As it may be shown on a terminal, on one line: names come from recordings, and an escape sequence in one must not be
// obeyed. What is unfit, or not UTF-8, or without `utf8` not ASCII, becomes "?".
std::string Printable(std::string_view text, bool utf8 = true);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_COMMON_UTF8_H_
