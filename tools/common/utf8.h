// Text from outside as text that others can read.
#ifndef MEMTRACE_TOOLS_COMMON_UTF8_H_
#define MEMTRACE_TOOLS_COMMON_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace memtrace::tools {

// What is not UTF-8 (RFC 3629: no surrogates, no overlong forms) becomes U+FFFD, one for each byte.
std::string ValidUtf8(std::string_view text);

// How many characters; bytes that are not UTF-8 count as one each. Wide and combining ones count as one too.
size_t CountCharacters(std::string_view text);

// The length in bytes of the character that `text` begins with; 0 if it is not UTF-8, or empty.
size_t CharacterBytes(std::string_view text);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_COMMON_UTF8_H_
