#include "tools/evidence/read.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>

#include "tools/evidence/cgroup_files.h"
#include "tools/evidence/documents.h"
#include "tools/evidence/embedded_log.h"
#include "tools/evidence/kill_list.h"
#include "tools/evidence/line_reader.h"
#include "tools/evidence/parse_document.h"
#include "tools/evidence/text.h"
#include "tools/evidence/text_evidence.h"
#include "tools/evidence/unpack.h"

namespace memtrace::tools {
namespace {

constexpr size_t kHead = size_t{256} << 10;

// How much of each kind there is, to see what a file brought.
struct Sizes {
  explicit Sizes(const Evidence& e)
      : log(e.kills.size() + e.reports.size() + e.notices.size() + e.reaped_pids.size()),
        containers(e.containers.size()),
        events(e.events.size()),
        samples(e.samples.size()),
        cgroups(e.cgroups.size()),
        declared(e.declared.size()) {}
  size_t log, containers, events, samples, cgroups, declared;
};

std::string KindsSince(const Sizes& before, const Evidence& evidence, bool looks_like_log) {
  const Sizes now(evidence);
  std::string kinds;
  const auto add = [&kinds](bool there, std::string_view kind) {
    if (!there) return;
    if (!kinds.empty()) kinds += ", ";
    kinds += kind;
  };
  add(now.log > before.log, "kernel log");
  add(now.containers > before.containers, "container state");
  add(now.events > before.events, "runtime events");
  add(now.samples > before.samples, "memory samples");
  add(now.cgroups > before.cgroups, "cgroup files");
  add(now.declared > before.declared, "declared limits");
  add(kinds.empty() && looks_like_log, "log");
  return kinds;
}

// Reads until `buffer` has `size` bytes or the source ends.
void Fill(const ByteSource& source, size_t size, std::string* buffer) {
  while (buffer->size() < size) {
    const size_t held = buffer->size();
    buffer->resize(std::min(size, held + kHead));
    const size_t count = source(std::span(buffer->data() + held, buffer->size() - held));
    buffer->resize(held + count);
    if (count == 0) return;
  }
}

// Of a document or a value of a stream of them. JSON lines are read as lines: there may be a gigabyte of them.
bool BeginsAsJson(std::string_view head) {
  const size_t begin = head.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (begin == std::string_view::npos) return false;
  std::string_view text = head.substr(begin);
  if (text.front() == '[') {
    const size_t next = text.find_first_not_of(" \t\r\n", 1);
    return next != std::string_view::npos && Contains("{[\"]", text.substr(next, 1)) &&
           !Contains(text.substr(0, text.find('\n')), "] ");
  }
  if (text.front() != '{') return false;
  const size_t line_end = text.find('\n');
  const bool more_lines = line_end != std::string_view::npos && !Trim(text.substr(line_end + 1, 2)).empty();
  return !more_lines || !ParseJson(text.substr(0, line_end)).has_value();
}

// Executables, archives, /dev/zero. Logs hold a stray byte here and there, and runs of zeroes after a crash.
bool IsBinary(std::string_view head) {
  const auto controls = std::count_if(head.begin(), head.end(), [](char c) {
    return static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\x1b';
  });
  return static_cast<size_t>(controls) > head.size() / 20;
}

class FileReader {
 public:
  FileReader(std::string_view name, Evidence* evidence)
      : evidence_(*evidence),
        file_(static_cast<uint32_t>(evidence->files.size())),
        kills_(evidence),
        before_(*evidence),
        text_(file_, evidence, &kills_) {
    evidence_.files.push_back({std::string(name), {}, {}});
  }

  bool Read(const ByteSource& packed) {
    const Unpacked unpacked = Unpack(packed);
    const ByteSource& source = unpacked.source;
    std::string head;
    Fill(source, kHead, &head);
    if (IsBinary(head)) return false;
    bool whole = false;
    if (BeginsAsJson(head) || LooksLikeYaml(head)) {
      Fill(source, kLargestDocument, &head);
      whole = head.size() < kLargestDocument && TakeDocuments(head);
    }
    if (!whole) TakeLines(head, source);
    text_.Finish();
    EvidenceFile& file = evidence_.files[file_];
    file.what = KindsSince(before_, evidence_, text_.looks_like_log());
    if (kills_.left_out() > 0) file.losses.push_back(fmt::format("{} more kills are left out", kills_.left_out()));
    damaged_ = *unpacked.damaged;
    if (damaged_) file.losses.emplace_back("the compressed data is damaged or cut: what came before was read");
    if (text_.left_out() > 0) file.losses.push_back(fmt::format("{} more reports are left out", text_.left_out()));
    return !file.what.empty();
  }
  bool damaged() const { return damaged_; }  // the compressed data ended early or made no sense

 private:
  bool TakeDocuments(std::string_view text) {
    bool taken = false;
    if (!BeginsAsJson(text)) {
      Locator places(file_, text, 1);
      for (const JsonValue& document : ParseYaml(text)) taken = TakeDocument(document, {&evidence_, &places}) || taken;
      return taken;
    }
    uint32_t line = 1;
    const char* counted = text.data();
    for (const std::string_view part : SplitJson(text)) {
      line += static_cast<uint32_t>(std::count(counted, part.data(), '\n'));
      counted = part.data();
      const std::optional<JsonValue> document = ParseJson(part);
      if (!document) continue;
      taken = TakeParsed(*document, part, line) || taken;
    }
    return taken;
  }

  bool TakeParsed(const JsonValue& document, std::string_view part, uint32_t line) {
    Locator places(file_, part, line);
    const size_t events = evidence_.events.size();
    bool taken = TakeDocument(document, {&evidence_, &places});
    for (size_t i = events; i < evidence_.events.size(); ++i) {
      const std::string message = evidence_.events[i].message;
      text_.TakeLogText(message, evidence_.events[i].place.line, {evidence_.events[i].time, {}, {}});
    }
    if (taken) return true;
    ForEachText(document, [&](std::string_view text, const Stamp& stamp) {
      taken = text_.TakeLogText(text, line, stamp) || taken;
    });
    return taken || IsLogEntry(document);
  }

  void TakeLines(std::string_view head, const ByteSource& source) {
    const ByteSource with_head = [&head, &source](std::span<char> buffer) {
      if (head.empty()) return source(buffer);
      const size_t count = head.copy(buffer.data(), buffer.size());
      head.remove_prefix(count);
      return count;
    };
    const LineStatistics read =
        ReadLines(with_head, [this](std::string_view line, uint32_t number) { return text_.Take(line, number); });
    if (read.cut_lines > 0) {
      evidence_.files[file_].losses.push_back(
          fmt::format("{} lines of more than {} KiB were read in part", read.cut_lines, kLongestLine >> 10));
    }
  }

  Evidence& evidence_;
  const uint32_t file_;
  KillList kills_;
  const Sizes before_;
  TextEvidence text_;
  bool damaged_ = false;
};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ > STDIN_FILENO) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

bool IsCompressed(std::string_view head) {
  return head.starts_with(
             "\xfd"
             "7zXZ") ||
         head.starts_with("\x28\xb5\x2f\xfd") || head.starts_with("BZh");
}

// Takes the text of small files only: those of a cgroup are.
std::optional<std::string> SmallFile(const std::string& path) {
  constexpr size_t kLargest = size_t{1} << 20;
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (file.get() < 0) return std::nullopt;
  std::string text;
  while (text.size() < kLargest) {
    const size_t held = text.size();
    text.resize(held + 65536);
    const ssize_t count = read(file.get(), text.data() + held, text.size() - held);
    text.resize(held + (count > 0 ? static_cast<size_t>(count) : 0));
    if (count <= 0) break;
  }
  return text;
}

}  // namespace

Result<bool> ReadEvidence(const std::string& path, Evidence* evidence, std::string_view held) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path;
  const Descriptor file(standard_input ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return Error{ErrorCode::kUnreadable, "cannot read " + name, std::strerror(errno)};
  int error = 0;
  bool first = true;
  bool compressed = false;
  const ByteSource source = [&](std::span<char> buffer) -> size_t {
    ssize_t count = static_cast<ssize_t>(held.copy(buffer.data(), buffer.size()));
    held.remove_prefix(static_cast<size_t>(count));
    while (count == 0) {
      count = read(file.get(), buffer.data(), buffer.size());
      if (count >= 0 || errno != EINTR) break;
      count = 0;
    }
    if (count < 0) error = errno;
    if (first && count > 0) compressed = IsCompressed({buffer.data(), static_cast<size_t>(count)});
    first = false;
    return count > 0 && !compressed ? static_cast<size_t>(count) : 0;
  };
  FileReader reader(name, evidence);
  const bool recognised = reader.Read(source);
  std::vector<std::string>& losses = evidence->files.back().losses;
  std::optional<Error> failure;
  if (compressed) {
    failure = Error{ErrorCode::kUnreadable, name + " is compressed",
                    "unpack it first, or pipe it: xzcat, zstdcat or bzcat FILE | memtrace-report -"};
  } else if (error != 0 && !recognised) {
    failure = Error{ErrorCode::kUnreadable, "cannot read " + name, std::strerror(error)};
  } else if (reader.damaged() && !recognised) {
    failure = Error{ErrorCode::kUnreadable, "cannot read " + name, "its compressed data is damaged"};
  }
  if (failure) {
    evidence->files.pop_back();
    return *failure;
  }
  if (error != 0) losses.push_back(std::string("reading stopped: ") + std::strerror(error));
  return recognised;
}

bool ReadEvidenceText(std::string_view text, std::string_view name, Evidence* evidence) {
  return FileReader(name, evidence).Read([&text](std::span<char> buffer) {
    const size_t count = text.copy(buffer.data(), buffer.size());
    text.remove_prefix(count);
    return count;
  });
}

bool ReadCgroupDirectory(const std::string& path, Evidence* evidence) {
  const auto file = static_cast<uint32_t>(evidence->files.size());
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    if (ShapeOfCgroupFile(name) != CgroupFileShape::kUnknown) names.push_back(name);
  }
  if (names.empty()) return false;
  std::sort(names.begin(), names.end());
  evidence->files.push_back({path, "cgroup files", {}});
  std::error_code ignored;
  std::string cgroup = CgroupPathOf(std::filesystem::absolute(path, ignored).lexically_normal().string());
  if (cgroup.empty()) cgroup = path;
  CgroupCollector collector(file, evidence);
  for (const std::string& name : names) {
    const std::optional<std::string> text = SmallFile(path + "/" + name);
    if (!text) {
      evidence->files[file].losses.push_back("cannot read " + name);
      continue;
    }
    collector.BeginFile(cgroup, name, 0);
    for (const std::string_view line : Split(*text, '\n')) collector.TakeLine(line);
  }
  collector.Finish();
  return true;
}

}  // namespace memtrace::tools
