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

class Page {
 public:
  Page(std::ostream* out, bool colour) : out_(*out), colour_(colour) {}

  // One line, printed as it is.
  void Line(std::string_view text = {}, Style style = Style::kPlain);
  // Words, wrapped; every line is indented, the first one by `first` instead.
  void Paragraph(std::string_view text, size_t indent = 0, std::string_view first = {}, Style style = Style::kPlain);
  // An empty line and a heading.
  void Heading(std::string_view text);

 private:
  std::ostream& out_;
  bool colour_;
};

// At most `columns` characters; what is cut out of the middle becomes "...".
std::string Shortened(std::string_view text, size_t columns);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_PAGE_H_
