#include "tools/common/utf8.h"

#include <algorithm>

#include "libmemtrace/format/characters.h"

namespace memtrace::tools {
namespace {

// Second bytes that are allowed after a first byte: RFC 3629, section 4.
struct Form {
  unsigned char first_low, first_high;
  unsigned char second_low, second_high;
  size_t bytes;
};
constexpr Form kForms[] = {
    {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

unsigned char Byte(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }

}  // namespace

size_t CharacterBytes(std::string_view text) {
  if (text.empty()) return 0;
  for (const Form& form : kForms) {
    if (Byte(text, 0) < form.first_low || Byte(text, 0) > form.first_high) continue;
    if (form.bytes == 1) return 1;
    if (text.size() < form.bytes || Byte(text, 1) < form.second_low || Byte(text, 1) > form.second_high) return 0;
    for (size_t i = 2; i < form.bytes; ++i) {
      if ((Byte(text, i) & 0xc0) != 0x80) return 0;
    }
    return form.bytes;
  }
  return 0;
}

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
    valid += bytes > 0 ? text.substr(0, bytes) : std::string_view("\xef\xbf\xbd");
    text.remove_prefix(bytes > 0 ? bytes : 1);
  }
  return valid;
}

size_t CountCharacters(std::string_view text) {
  size_t count = 0;
  for (; !text.empty(); ++count) {
    const size_t bytes = CharacterBytes(text);
    text.remove_prefix(bytes > 0 ? bytes : 1);
  }
  return count;
}

std::string Printable(std::string_view text, bool utf8) {
  std::string clean;
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
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
