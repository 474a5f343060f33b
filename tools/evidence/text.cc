#include "tools/evidence/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

struct Unit {
  std::string_view name;  // lower case
  double display;
  double ram;
  double kubernetes;  // 0: not one of this style
};

constexpr double kKi = 1024, kMi = kKi * 1024, kGi = kMi * 1024, kTi = kGi * 1024, kPi = kTi * 1024;
// Kubernetes tells k from K and M from m; see FactorOf.
constexpr Unit kUnits[] = {
    {"", 1, 1, 1},         {"b", 1, 1, 0},        {"k", 1e3, kKi, 1e3},  {"kb", 1e3, kKi, 0},    {"kib", kKi, kKi, 0},
    {"ki", kKi, kKi, kKi}, {"m", 1e6, kMi, 1e6},  {"mb", 1e6, kMi, 0},   {"mib", kMi, kMi, 0},   {"mi", kMi, kMi, kMi},
    {"g", 1e9, kGi, 1e9},  {"gb", 1e9, kGi, 0},   {"gib", kGi, kGi, 0},  {"gi", kGi, kGi, kGi},  {"t", 1e12, kTi, 1e12},
    {"tb", 1e12, kTi, 0},  {"tib", kTi, kTi, 0},  {"ti", kTi, kTi, kTi}, {"p", 1e15, kPi, 1e15}, {"pb", 1e15, kPi, 0},
    {"pib", kPi, kPi, 0},  {"pi", kPi, kPi, kPi}, {"bytes", 1, 1, 0},
};

double FactorOf(std::string_view unit, UnitStyle style) {
  if (style == UnitStyle::kKubernetes && unit == "m") return 1e-3;
  const std::string name = Lower(unit);
  for (const Unit& known : kUnits) {
    if (known.name != name) continue;
    return style == UnitStyle::kDisplay ? known.display : style == UnitStyle::kRam ? known.ram : known.kubernetes;
  }
  return 0;
}

// Behind an escape sequence that begins at `at`, which holds ESC.
size_t AfterEscape(std::string_view line, size_t at) {
  size_t i = at + 1;
  if (i >= line.size()) return i;
  if (line[i] == '[') {
    ++i;
    while (i < line.size() && (line[i] < '@' || line[i] > '~')) ++i;
    return std::min(i + 1, line.size());
  }
  if (line[i] == ']') {
    while (i < line.size() && line[i] != '\a' && line[i] != '\x1b') ++i;
    return std::min(i + 1, line.size());
  }
  return std::min(i + (line[i] == '(' || line[i] == ')' ? 2 : 1), line.size());
}

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "=20" may also be the beginning of a year: "ts=2026-03-03".
bool LooksQuotedPrintable(std::string_view line) {
  if (Contains(line, "=3D")) return true;
  bool space = false;
  for (size_t at = line.find('='); at != std::string_view::npos; at = line.find('=', at + 1)) {
    const std::string_view code = line.substr(at + 1, 2);
    if (code.empty()) break;  // a soft line break
    if (code.size() < 2 || HexValue(code[0]) < 0 || HexValue(code[1]) < 0) return false;
    const bool goes_on = at + 3 < line.size() && IsDigit(line[at + 3]);
    space = space || (code == "20" && !goes_on);
  }
  return space;
}

std::string Decoded(std::string_view line, bool quoted_printable) {
  std::string text;
  text.reserve(line.size());
  for (size_t i = 0; i < line.size();) {
    if (line[i] == '\x1b') {
      i = AfterEscape(line, i);
    } else if (quoted_printable && line[i] == '=' && i + 2 < line.size() && HexValue(line[i + 1]) >= 0 &&
               HexValue(line[i + 2]) >= 0) {
      text += static_cast<char>(HexValue(line[i + 1]) * 16 + HexValue(line[i + 2]));
      i += 3;
    } else {
      text += line[i++];
    }
  }
  return text;
}

}  // namespace

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (IsBlank(text.front()) || text.front() == '\r')) text.remove_prefix(1);
  while (!text.empty() && (IsBlank(text.back()) || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::optional<std::string_view> Between(std::string_view text, std::string_view begin, std::string_view end) {
  const size_t from = text.find(begin);
  if (from == std::string_view::npos) return std::nullopt;
  const size_t start = from + begin.size();
  const size_t to = text.find(end, start);
  if (to == std::string_view::npos) return std::nullopt;
  return text.substr(start, to - start);
}

std::vector<std::string_view> SplitWords(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    text = Trim(text);
    if (text.empty()) return words;
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool Consume(std::string_view* text, std::string_view literal) {
  if (!text->starts_with(literal)) return false;
  text->remove_prefix(literal.size());
  return true;
}

void ConsumeBlanks(std::string_view* text) {
  while (!text->empty() && IsBlank(text->front())) text->remove_prefix(1);
}

std::optional<uint64_t> ConsumeNumber(std::string_view* text) {
  if (text->empty() || !IsDigit(text->front())) return std::nullopt;  // from_chars would be silent on overflow of ""
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc()) return std::nullopt;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return value;
}

std::optional<int64_t> ConsumeSigned(std::string_view* text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc()) return std::nullopt;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return value;
}

std::optional<double> ConsumeDecimal(std::string_view* text) {
  size_t end = 0;
  while (end < text->size() && (IsDigit((*text)[end]) || (*text)[end] == '.')) ++end;
  double value = 0;
  const auto [stop, error] = std::from_chars(text->data(), text->data() + end, value, std::chars_format::fixed);
  if (error != std::errc() || stop == text->data()) return std::nullopt;
  text->remove_prefix(static_cast<size_t>(stop - text->data()));
  return value;
}

std::optional<uint64_t> WholeNumber(std::string_view text) {
  const std::optional<uint64_t> value = ConsumeNumber(&text);
  return text.empty() ? value : std::nullopt;
}

std::optional<int> WholeInt(std::string_view text) {
  const std::optional<int64_t> value = ConsumeSigned(&text);
  if (!value || !text.empty() || *value > INT32_MAX || *value < INT32_MIN) return std::nullopt;
  return static_cast<int>(*value);
}

std::optional<uint64_t> ParseSize(std::string_view text, UnitStyle style) {
  text = Trim(text);
  std::string_view rest = text;
  const std::optional<uint64_t> whole = ConsumeNumber(&rest);
  if (whole && (rest.empty() || rest.front() != '.')) {  // exact beyond 2^53
    ConsumeBlanks(&rest);
    const double factor = FactorOf(rest, style);
    if (factor == 1) return whole;
    return factor > 0 ? std::optional(RoundToUint(static_cast<double>(*whole) * factor)) : std::nullopt;
  }
  const std::optional<double> value = ConsumeDecimal(&text);
  ConsumeBlanks(&text);
  const double factor = FactorOf(text, style);
  if (!value || factor <= 0) return std::nullopt;
  return RoundToUint(*value * factor);
}

std::optional<double> ParsePercent(std::string_view text) {
  text = Trim(text);
  const std::optional<double> value = ConsumeDecimal(&text);
  ConsumeBlanks(&text);
  return value && text == "%" ? value : std::nullopt;
}

std::string_view CleanLine(std::string_view line, std::string* buffer) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  const bool quoted_printable = Contains(line, "=") && LooksQuotedPrintable(line);
  if (!quoted_printable && !Contains(line, "\x1b")) return line;
  *buffer = Decoded(line, quoted_printable);
  return *buffer;
}

std::string_view SkipQuoteMarks(std::string_view line) {
  while (!line.empty()) {
    const bool is_mark = Contains(" \t>|*#", line.substr(0, 1));
    const bool is_list = line.starts_with("- ") || line.starts_with("//");
    if (!is_mark && !is_list) break;
    line.remove_prefix(is_list ? 2 : 1);
  }
  return line;
}

}  // namespace memtrace::tools
