#include "tools/render/page.h"

#include <algorithm>

#include "libmemtrace/format/characters.h"
#include "tools/common/utf8.h"

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

}  // namespace

void Page::Line(std::string_view text, Style style) {
  const std::string_view escape = look_.colour ? Escape(style) : "";
  out_ << escape << Printable(text, look_.utf8) << (escape.empty() ? "" : "\033[0m") << '\n';
}

void Page::Paragraph(std::string_view text, size_t indent, std::string_view first, Style style) {
  std::string line(first.empty() ? std::string(indent, ' ') : std::string(first));
  size_t columns = line.size();
  size_t words = 0;
  const auto end_line = [&] {
    Line(line, style);
    line.assign(indent, ' ');
    columns = indent;
    words = 0;
  };
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words > 0 && columns + 1 + CountCharacters(word) > kPageColumns) end_line();
    if (words++ > 0) line += ' ', ++columns;
    while (columns + CountCharacters(word) > kPageColumns) {
      const std::string_view part = FirstCharacters(word, kPageColumns - columns);
      line += part;
      word.remove_prefix(part.size());
      end_line();
      words = 1;
    }
    line += word;
    columns += CountCharacters(word);
  }
  Line(line, style);
}

void Page::Heading(std::string_view text) {
  Line();
  Line(text, Style::kHeading);
}

std::string_view FirstCharacters(std::string_view text, size_t columns) {
  size_t bytes = 0;
  for (; columns > 0 && bytes < text.size(); --columns)
    bytes += std::max<size_t>(format::CharacterBytes(text.substr(bytes)), 1);
  return text.substr(0, bytes);
}

std::string Shortened(std::string_view text, size_t columns) {
  const size_t characters = CountCharacters(text);
  if (characters <= columns) return std::string(text);
  const size_t head = (columns - 3) * 2 / 3;
  const size_t tail = columns - 3 - head;
  const std::string_view dropped = FirstCharacters(text, characters - tail);
  return std::string(FirstCharacters(text, head)) + "..." + std::string(text.substr(dropped.size()));
}

std::string PadRight(std::string_view text, size_t columns) {
  const size_t characters = CountCharacters(text);
  return std::string(text) + std::string(characters < columns ? columns - characters : 0, ' ');
}

std::string PadLeft(std::string_view text, size_t columns) {
  const size_t characters = CountCharacters(text);
  return std::string(characters < columns ? columns - characters : 0, ' ') + std::string(text);
}

}  // namespace memtrace::tools
