// Scanners over lines that somebody else wrote. All are total: any bytes in, an answer or nothing out.
#ifndef MEMTRACE_TOOLS_EVIDENCE_TEXT_H_
#define MEMTRACE_TOOLS_EVIDENCE_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace memtrace::tools {

inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }
inline bool IsBlank(char c) { return c == ' ' || c == '\t'; }

std::string_view Trim(std::string_view text);
std::string Lower(std::string_view text);
bool Contains(std::string_view text, std::string_view part);
// Text between the first `begin` and the next `end` after it; nothing if one is missing.
std::optional<std::string_view> Between(std::string_view text, std::string_view begin, std::string_view end);
std::vector<std::string_view> SplitWords(std::string_view text);  // at blanks
std::vector<std::string_view> Split(std::string_view text, char separator);

// These move `text` behind what they took, and leave it alone if they took nothing.
bool Consume(std::string_view* text, std::string_view literal);
void ConsumeBlanks(std::string_view* text);
std::optional<uint64_t> ConsumeNumber(std::string_view* text);  // decimal digits that fit
std::optional<int64_t> ConsumeSigned(std::string_view* text);
std::optional<double> ConsumeDecimal(std::string_view* text);  // "12", "0.42": no sign, no exponent

std::optional<uint64_t> WholeNumber(std::string_view text);  // digits and nothing else
std::optional<int> WholeInt(std::string_view text);          // with sign

// How a size with a unit is meant.
enum class UnitStyle {
  kDisplay,     // docker and podman stats: KiB is 1024, kB and KB are 1000
  kRam,         // docker run -m, Compose: k, kb, KiB are all 1024 (go-units, RAMInBytes)
  kKubernetes,  // Ki is 1024, k is 1000, m a thousandth
};
// "456MiB", "1.02 GB", "512m". Nothing if there is no number, an unknown unit or anything behind it.
std::optional<uint64_t> ParseSize(std::string_view text, UnitStyle style);
std::optional<double> ParsePercent(std::string_view text);  // "89.06%"

// Without what terminals and mail add: colours, a carriage return, quoted-printable. `buffer` holds the result where
// it differs from `line`.
std::string_view CleanLine(std::string_view line, std::string* buffer);
// Without leading blanks and the marks of quotations, comments and lists: > | * # // "- "
std::string_view SkipQuoteMarks(std::string_view line);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_TEXT_H_
