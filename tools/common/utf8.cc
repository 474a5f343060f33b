#include "tools/common/utf8.h"

#include <algorithm>

#include "libmemtrace/format/characters.h"

namespace memtrace::tools {
std::string ValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t bytes = format::CharacterBytes(text);
    valid += bytes > 0 ? text.substr(0, bytes) : std::string_view("\xef\xbf\xbd");
    text.remove_prefix(bytes > 0 ? bytes : 1);
  }
  return valid;
}

size_t CountCharacters(std::string_view text) {
  size_t count = 0;
  for (; !text.empty(); ++count) {
    const size_t bytes = format::CharacterBytes(text);
    text.remove_prefix(bytes > 0 ? bytes : 1);
  }
  return count;
}

std::string Printable(std::string_view text, bool utf8) {
  std::string clean;
  while (!text.empty()) {
    const size_t bytes = format::CharacterBytes(text);
    const std::string_view character = text.substr(0, std::max<size_t>(bytes, 1));
    text.remove_prefix(character.size());
    if (bytes == 0 || format::IsUnfit(character)) {
      clean += '?';
    } else if (utf8 || bytes == 1) {
      clean += character;
    } else {
      clean += character == "\xc2\xb1" ? "+-" : "?";
    }
  }
  return clean;
}

}  // namespace memtrace::tools
