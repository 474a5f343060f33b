// Lines of a terminal page: wrapping, colours, and no control characters from the input.
#ifndef MEMTRACE_TOOLS_RENDER_PAGE_H_
#define MEMTRACE_TOOLS_RENDER_PAGE_H_

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>

namespace memtrace::tools {

inline constexpr size_t kPageColumns = 80;

enum class Style { kPlain, kHeading, kAlarm, kGood, kFaint };

// What the terminal can show.
struct PageLook {
  bool colour = false;
  bool utf8 = true;  // else ASCII alone
};

class Page {
 public:
  Page(std::ostream* out, PageLook look) : out_(*out), look_(look) {}

  // One line, as it is, but for characters that a terminal would obey or cannot show.
  void Line(std::string_view text = {}, Style style = Style::kPlain);
  // Words, wrapped; every line is indented, the first one by `first` instead. A word longer than a line is broken.
  void Paragraph(std::string_view text, size_t indent = 0, std::string_view first = {}, Style style = Style::kPlain);
  // An empty line and a heading.
  void Heading(std::string_view text);

 private:
  std::ostream& out_;
  PageLook look_;
};

// At most `columns` characters; what is cut out of the middle becomes "...".
std::string Shortened(std::string_view text, size_t columns);
// With blanks on its right or left side to that many characters.
std::string PadRight(std::string_view text, size_t columns);
std::string PadLeft(std::string_view text, size_t columns);
// The characters that `text` has at most `columns` of, from its beginning.
std::string_view FirstCharacters(std::string_view text, size_t columns);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_PAGE_H_
