#include "libmemtrace/rt/text.h"

namespace memtrace::rt {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = Lower(c);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 99;
}

// The shift that a unit stands for, or -1.
int UnitShift(Text unit) {
  struct Unit {
    Text name;
    int shift;
  };
  static constexpr Unit kUnits[] = {
      {"", 0},    {"b", 0},    {"k", 10}, {"kb", 10}, {"kib", 10}, {"m", 20},  {"mb", 20}, {"mib", 20}, {"g", 30},
      {"gb", 30}, {"gib", 30}, {"t", 40}, {"tb", 40}, {"tib", 40}, {"ki", 10}, {"mi", 20}, {"gi", 30},  {"ti", 40},
  };
  for (const Unit& known : kUnits) {
    if (EqualIgnoringCase(unit, known.name)) return known.shift;
  }
  return -1;
}

}  // namespace

bool operator==(Text a, Text b) {
  if (a.size != b.size) return false;
  for (size_t i = 0; i < a.size; ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

bool StartsWith(Text text, Text prefix) { return text.First(prefix.size) == prefix; }

bool EndsWith(Text text, Text suffix) {
  return text.size >= suffix.size && text.From(text.size - suffix.size) == suffix;
}

bool EqualIgnoringCase(Text a, Text b) {
  if (a.size != b.size) return false;
  for (size_t i = 0; i < a.size; ++i) {
    if (Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

size_t Find(Text text, char c) {
  for (size_t i = 0; i < text.size; ++i) {
    if (text[i] == c) return i;
  }
  return kNotFound;
}

size_t FindLast(Text text, char c) {
  for (size_t i = text.size; i > 0; --i) {
    if (text[i - 1] == c) return i - 1;
  }
  return kNotFound;
}

Text Trim(Text text) {
  while (!text.empty() && IsBlank(text[0])) text = text.From(1);
  while (!text.empty() && IsBlank(text[text.size - 1])) text.size -= 1;
  return text;
}

Text NextPart(Text* rest, char separator) {
  const size_t end = Find(*rest, separator);
  const Text part = rest->First(end == kNotFound ? rest->size : end);
  *rest = end == kNotFound ? rest->From(rest->size) : rest->From(end + 1);
  return part;
}

Text NextWord(Text* rest) {
  size_t begin = 0;
  while (begin < rest->size && IsBlank((*rest)[begin])) ++begin;
  size_t end = begin;
  while (end < rest->size && !IsBlank((*rest)[end])) ++end;
  const Text word(rest->data + begin, end - begin);
  *rest = rest->From(end);
  return word;
}

bool ParseUint(Text text, uint64_t* value, int base) {
  if (text.empty()) return false;
  uint64_t result = 0;
  for (size_t i = 0; i < text.size; ++i) {
    const int digit = DigitValue(text[i]);
    if (digit >= base) return false;
    uint64_t scaled;
    if (__builtin_mul_overflow(result, static_cast<uint64_t>(base), &scaled)) return false;
    if (__builtin_add_overflow(scaled, static_cast<uint64_t>(digit), &result)) return false;
  }
  *value = result;
  return true;
}

bool ParseSize(Text text, uint64_t* bytes) {
  text = Trim(text);
  size_t digits = 0;
  while (digits < text.size && DigitValue(text[digits]) < 10) ++digits;
  uint64_t whole;
  if (!ParseUint(text.First(digits), &whole)) return false;
  Text rest = text.From(digits);
  uint64_t fraction = 0;
  uint64_t scale = 1;
  if (StartsWith(rest, ".")) {
    rest = rest.From(1);
    size_t places = 0;
    while (places < rest.size && DigitValue(rest[places]) < 10) ++places;
    if (places == 0) return false;
    const Text kept = rest.First(places < 6 ? places : 6);
    if (!ParseUint(kept, &fraction)) return false;
    for (size_t i = 0; i < kept.size; ++i) scale *= 10;
    rest = rest.From(places);
  }
  const int shift = UnitShift(Trim(rest));
  if (shift < 0 || (shift > 0 && whole >> (64 - shift) != 0)) return false;
  *bytes = (whole << shift) + (fraction << shift) / scale;
  return true;
}

bool MatchGlob(Text pattern, Text text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = kNotFound;
  size_t resume = 0;
  while (t < text.size) {
    if (p < pattern.size && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != kNotFound) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size && pattern[p] == '*') ++p;
  return p == pattern.size;
}

TextBuilder& TextBuilder::Add(Text text) {
  for (size_t i = 0; i < text.size; ++i) {
    if (size_ + 1 >= capacity_) {
      truncated_ = true;
      break;
    }
    buffer_[size_++] = text[i];
  }
  buffer_[size_] = '\0';
  return *this;
}

TextBuilder& TextBuilder::AddShown(Text text) {
  for (size_t i = 0; i < text.size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool second = i > 0 && text[i - 1] == '\xc2' && byte < 0xa0;  // U+0080 to U+009F
    Add(byte < ' ' || byte == 0x7f || second ? '?' : text[i]);
  }
  return *this;
}

TextBuilder& TextBuilder::AddUint(uint64_t value, int base, int min_digits) {
  char digits[64];
  int count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % static_cast<uint64_t>(base)];
    value /= static_cast<uint64_t>(base);
  } while (value != 0 || count < min_digits);
  while (count > 0) Add(digits[--count]);
  return *this;
}

TextBuilder& TextBuilder::AddSize(uint64_t bytes) {
  static constexpr Text kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  uint64_t tenths = bytes * 10;
  if (bytes > ~uint64_t{0} / 10) tenths = ~uint64_t{0};
  while (tenths >= 10240 && unit < 4) {
    tenths /= 1024;
    ++unit;
  }
  AddUint(tenths / 10);
  if (unit > 0) Add('.').AddUint(tenths % 10);
  return Add(' ').Add(kUnits[unit]);
}

TextBuilder& TextBuilder::AddStamp(uint64_t unix_seconds) {
  // Days to civil date: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
  const uint64_t seconds = unix_seconds % 86400;
  const uint64_t days = unix_seconds / 86400 + 719468;
  const uint64_t era = days / 146097;
  const uint64_t day_of_era = days % 146097;
  const uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint64_t shifted_month = (5 * day_of_year + 2) / 153;
  const uint64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const uint64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const uint64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  AddUint(year, 10, 4).AddUint(month, 10, 2).AddUint(day, 10, 2).Add('T');
  return AddUint(seconds / 3600, 10, 2).AddUint(seconds / 60 % 60, 10, 2).AddUint(seconds % 60, 10, 2).Add('Z');
}

}  // namespace memtrace::rt
