#include "tools/render/page.h"

#include <algorithm>

namespace memtrace::tools {
namespace {

// ECMA-48 SGR.
std::string_view Escape(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kHeading:
      return "\033[1m";
    case Style::kAlarm:
      return "\033[1;31m";
    case Style::kGood:
      return "\033[1;32m";
    case Style::kFaint:
      return "\033[2m";
  }
  return "";
}

// Names come from recordings: an escape sequence in one must not reach the terminal.
std::string Printable(std::string_view text) {
  std::string clean(text);
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return clean;
}

}  // namespace

void Page::Line(std::string_view text, Style style) {
  const std::string_view escape = colour_ ? Escape(style) : "";
  out_ << escape << Printable(text) << (escape.empty() ? "" : "\033[0m") << '\n';
}

void Page::Paragraph(std::string_view text, size_t indent, std::string_view first, Style style) {
  std::string line(first.empty() ? std::string(indent, ' ') : std::string(first));
  size_t words = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words > 0 && line.size() + 1 + word.size() > kPageColumns) {
      Line(line, style);
      line.assign(indent, ' ');
      words = 0;
    }
    if (words++ > 0) line += ' ';
    line += word;
  }
  Line(line, style);
}

void Page::Heading(std::string_view text) {
  Line();
  Line(text, Style::kHeading);
}

std::string Shortened(std::string_view text, size_t columns) {
  if (text.size() <= columns) return std::string(text);
  const size_t head = (columns - 3) * 2 / 3;
  const size_t tail = columns - 3 - head;
  return std::string(text.substr(0, head)) + "..." + std::string(text.substr(text.size() - tail));
}

}  // namespace memtrace::tools
