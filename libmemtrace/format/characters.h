// What of the names that others chose may stand on a terminal or in a log.
#ifndef MEMTRACE_FORMAT_CHARACTERS_H_
#define MEMTRACE_FORMAT_CHARACTERS_H_

#include <string_view>

namespace memtrace::format {

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
