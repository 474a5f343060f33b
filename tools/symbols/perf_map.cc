#include "tools/symbols/perf_map.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

namespace memtrace::tools {
namespace {

constexpr uint64_t kMostBytes = uint64_t{64} << 20;

// Takes a hexadecimal number and the blank behind it.
bool TakeHex(std::string_view* text, uint64_t* value) {
  if (text->starts_with("0x")) text->remove_prefix(2);  // some writers do
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *value, 16);
  if (error != std::errc() || end == text->data() + text->size() || *end != ' ') return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()) + 1);
  return true;
}

// Takes ":NUMBER" off the end.
bool TakeLine(std::string_view* text, int* number) {
  const size_t colon = text->rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text->size()) return false;
  const char* end = text->data() + text->size();
  if (std::from_chars(text->data() + colon + 1, end, *number).ptr != end) return false;
  text->remove_suffix(text->size() - colon);
  return true;
}

// The blank between a function and its file, both of which may have others.
size_t BeforePlace(std::string_view name) {
  for (const std::string_view beginning : {" /", " file:", " node:"}) {
    if (const size_t blank = name.find(beginning); blank != std::string_view::npos) return blank;
  }
  return name.rfind(' ');
}

// V8's names of JavaScript functions without the kind and the marker of the compiler, which change from run to run.
std::string_view WithoutKind(std::string_view name) {
  for (const std::string_view kind : {"JS:", "LazyCompile:", "Function:"}) {
    if (!name.starts_with(kind)) continue;
    name.remove_prefix(kind.size());
    name.remove_prefix(std::min(name.find_first_not_of("*^+~"), name.size()));
    return name.empty() ? "(anonymous)" : name;
  }
  return name;
}

// V8: "JS:*handle /srv/app.js:12:3". CPython: "py::handle:/srv/app.py".
SourceFrame Divide(std::string_view name) {
  SourceFrame frame;
  const size_t path = name.starts_with("py::") ? name.find(':', 4) : std::string_view::npos;
  if (path != std::string_view::npos) {
    frame.function = name.substr(0, path);
    frame.file = name.substr(path + 1);
    return frame;
  }
  const size_t blank = BeforePlace(name);
  std::string_view place = blank == std::string_view::npos ? std::string_view() : name.substr(blank + 1);
  int column = 0;
  int line = 0;
  if (TakeLine(&place, &column)) {
    if (!TakeLine(&place, &line)) line = column;
    frame.function = WithoutKind(name.substr(0, blank));
    frame.file = place;
    frame.line = line;
  } else {
    frame.function = WithoutKind(name);
  }
  return frame;
}

std::string ReadBounded(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  std::ifstream file(path, std::ios::binary);
  std::string text(std::min<uint64_t>(static_cast<uint64_t>(status.st_size), kMostBytes), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

// The PID alone says little: another process of that number may have left the file.
bool WrittenBy(const Profile& profile, const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return false;
  const format::Header& header = profile.header;
  const uint64_t began = header.process_start_ns != 0 ? header.process_start_ns : header.start_ns;
  const auto changed = static_cast<uint64_t>(status.st_mtim.tv_sec) * 1000000000;
  constexpr uint64_t kSecond = 1000000000;  // the file's time is truncated, and its clock a tick behind
  return changed + 2 * kSecond >= began && (header.end_ns == 0 || changed <= header.end_ns + 2 * kSecond);
}

}  // namespace

PerfMap::PerfMap(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    uint64_t begin = 0;
    uint64_t size = 0;
    if (!TakeHex(&line, &begin) || !TakeHex(&line, &size) || line.empty()) continue;
    if (size > 0 && begin + size > begin) Insert(begin, begin + size, line);
  }
}

void PerfMap::Insert(uint64_t begin, uint64_t end, std::string_view name) {
  auto next = functions_.lower_bound(begin);
  if (next != functions_.begin() && std::prev(next)->second.end > begin) --next;
  while (next != functions_.end() && next->first < end) next = functions_.erase(next);
  functions_.emplace_hint(next, begin, Function{end, Divide(name)});
}

PerfMap PerfMap::Of(const Profile& profile, const std::string& temporary_directory) {
  const std::string* carried = profile.FindBlob(format::BlobKind::kProcFile, "perf.map");
  if (carried != nullptr) return PerfMap(*carried);
  if (const std::string beside = ReadBounded(profile.file_name + ".perf-map"); !beside.empty()) return PerfMap(beside);
  const std::string path = fmt::format("{}/perf-{}.map", temporary_directory, profile.header.pid);
  return PerfMap(WrittenBy(profile, path) ? ReadBounded(path) : std::string());
}

const SourceFrame* PerfMap::Find(uint64_t address) const {
  auto function = functions_.upper_bound(address);
  if (function == functions_.begin()) return nullptr;
  --function;
  return address < function->second.end ? &function->second.frame : nullptr;
}

}  // namespace memtrace::tools
