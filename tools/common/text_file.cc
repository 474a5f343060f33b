#include "tools/common/text_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace memtrace::tools {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view Trimmed(std::string_view line) {
  const size_t begin = line.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

Result<std::string> ReadTextFile(const std::string& file, std::string_view what) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in.is_open()) text << in.rdbuf();  // fails of an empty file too, but then without an errno
  if (in.is_open() && !(text.fail() && errno != 0)) return text.str();
  return Error{ErrorCode::kUnreadable, "cannot read the " + std::string(what) + " " + file, std::strerror(errno)};
}

std::string UserDirectory(const char* variable, std::string_view below_home) {
  const auto absolute = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value == '/' ? std::string(value) : std::string();
  };
  if (std::string directory = absolute(variable); !directory.empty()) return directory;
  const std::string home = absolute("HOME");
  return home.empty() ? home : home + '/' + std::string(below_home);
}

std::vector<Entry> Entries(std::string_view text) {
  std::vector<Entry> entries;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && !line.starts_with('#')) entries.push_back({number, line});
  }
  return entries;
}

bool MatchesTemplate(std::string_view pattern, std::string_view text) {
  const bool from_start = pattern.starts_with('^');
  if (from_start) pattern.remove_prefix(1);
  const bool to_end = pattern.ends_with('$');
  if (to_end) pattern.remove_suffix(1);
  // Greedy from the left: the first place of each part leaves the most for the rest.
  bool bound = from_start;
  while (true) {
    const size_t star = pattern.find('*');
    const std::string_view part = pattern.substr(0, star);
    const bool last = star == std::string_view::npos;
    if (last && to_end) return bound ? text == part : text.ends_with(part);
    const size_t at = bound ? (text.starts_with(part) ? 0 : std::string_view::npos) : text.find(part);
    if (at == std::string_view::npos) return false;
    if (last) return true;
    text.remove_prefix(at + part.size());
    pattern.remove_prefix(star + 1);
    bound = false;
  }
}

}  // namespace memtrace::tools
