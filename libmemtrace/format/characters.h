// Characters in UTF-8, and what of the names that others chose may stand on a terminal or in a log.
#ifndef MEMTRACE_FORMAT_CHARACTERS_H_
#define MEMTRACE_FORMAT_CHARACTERS_H_

#include <cstddef>
#include <string_view>

namespace memtrace::format {

// The length in bytes of the character that `text` begins with; 0 if it is not UTF-8 (RFC 3629: no surrogates, no
// overlong forms), or empty.
constexpr size_t CharacterBytes(std::string_view text) {
  // The second bytes that may follow a first one: section 4 there.
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
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (const Form& form : kForms) {
    if (text.empty() || byte(0) < form.first_low || byte(0) > form.first_high) continue;
    if (form.bytes == 1) return 1;
    if (text.size() < form.bytes || byte(1) < form.second_low || byte(1) > form.second_high) return 0;
    for (size_t i = 2; i < form.bytes; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    return form.bytes;
  }
  return 0;
}

// Whether a character, the bytes of which are UTF-8, would be obeyed, or would hide or reorder the text beside it:
// controls (U+0080 to U+009F too), and the marks of direction and of no width, U+200B to U+200F, U+2028 to U+202E,
// U+2060 to U+206F, U+FEFF.
constexpr bool IsUnfit(std::string_view character) {
  const auto byte = [character](size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f;
  if (character.size() == 2) return byte(0) == 0xc2 && byte(1) < 0xa0;
  if (character.size() != 3) return false;
  const bool general =
      byte(0) == 0xe2 && byte(1) == 0x80 && (byte(2) >= 0xa8 ? byte(2) <= 0xae : byte(2) >= 0x8b && byte(2) <= 0x8f);
  const bool isolate = byte(0) == 0xe2 && byte(1) == 0x81 && byte(2) >= 0xa0 && byte(2) <= 0xaf;
  return general || isolate || character == "\xef\xbb\xbf";
}

}  // namespace memtrace::format

#endif  // MEMTRACE_FORMAT_CHARACTERS_H_
