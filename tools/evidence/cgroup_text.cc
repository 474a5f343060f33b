#include "tools/evidence/cgroup_text.h"

#include <algorithm>

#include "tools/evidence/kernel_message.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr size_t kNowhere = std::string_view::npos;
constexpr size_t kLongestRun = 512;

bool IsNameByte(char c) { return (c >= 'a' && c <= 'z') || c == '_' || c == '.'; }

// The first name of a cgroup file that begins at or after `from`, as a whole word or at the end of a path.
size_t FindFileName(std::string_view line, size_t from, std::string_view* name) {
  for (size_t at = from; at < line.size(); ++at) {
    at = std::min(line.find("memory.", at), line.find("pids.", at));
    if (at == kNowhere) return kNowhere;
    if (at > 0 && (IsNameByte(line[at - 1]) || IsDigit(line[at - 1]))) continue;
    size_t end = at;
    while (end < line.size() && IsNameByte(line[end])) ++end;
    *name = line.substr(at, end - at);
    if (ShapeOfCgroupFile(*name) != CgroupFileShape::kUnknown) return at;
  }
  return kNowhere;
}

// The path of the word that ends where the file's name begins.
std::string PathBefore(std::string_view line, size_t name_begin) {
  const size_t blank = line.substr(0, name_begin).find_last_of(" \t=\"'");
  const size_t begin = blank == kNowhere ? 0 : blank + 1;
  const std::string_view directory = line.substr(begin, name_begin - begin);
  const std::string path = CgroupPathOf(directory);
  return path.empty() && directory.size() > 1 && directory != "./"
             ? std::string(directory.substr(0, directory.size() - 1))
             : path;
}

// The content of which file are these lines? Empty if of none.
std::string_view FileOf(const std::vector<std::string>& run) {
  const auto has = [&run](std::string_view name) {
    return std::any_of(run.begin(), run.end(), [name](const std::string& line) {
      return line.size() > name.size() && line.starts_with(name) && IsBlank(line[name.size()]);
    });
  };
  if (has("oom_kill_disable")) return "memory.oom_control";
  if (has("oom_kill") && (has("max") || has("high") || has("oom"))) return "memory.events";
  if ((has("anon") && has("file")) || (has("cache") && has("rss"))) return "memory.stat";
  return {};
}

}  // namespace

bool CgroupText::Take(std::string_view line, uint32_t number) {
  const std::string_view text = Trim(SkipQuoteMarks(line));
  if (TakePath(text) || TakeGrep(text, number)) return true;
  if (TakeExpected(text, number)) return true;
  if (TakeNames(text)) return true;
  return TakeBare(text, number);
}

// "memcgpath=/sys/fs/cgroup/...", and lines of /proc/PID/cgroup: "5:memory:/docker/1", "0::/docker/1"
bool CgroupText::TakePath(std::string_view line) {
  std::string_view rest = line;
  if (Consume(&rest, "memcgpath=")) {
    FlushRun();
    collector_.SetPath(CgroupPathOf(rest));
    return true;
  }
  if (!ConsumeNumber(&rest) || !Consume(&rest, ":")) return false;
  const bool named = Consume(&rest, "memory:/") || Consume(&rest, ":/");
  if (!named || Contains(rest, " ")) return false;
  if (!rest.empty() || line.starts_with("0::")) collector_.SetPath("/" + std::string(rest));
  return true;
}

bool CgroupText::TakeGrep(std::string_view line, uint32_t number) {
  std::string_view name;
  const size_t at = FindFileName(line, 0, &name);
  if (at == kNowhere) return false;
  std::string_view rest = line.substr(at + name.size());
  // Neither a prompt nor prose stands before the name, only a path.
  if (SplitWords(line.substr(0, at)).size() > 1 || rest.empty()) return false;
  if (!Consume(&rest, ":") && !Consume(&rest, "=") && !(at == 0 && Consume(&rest, " "))) return false;
  Consume(&rest, " ");
  if (Trim(rest).empty()) return false;
  FlushRun();
  const std::string path = PathBefore(line, at);
  // Lines of one file repeat its name; a single value that comes twice is another reading.
  if (in_content_ && !expected_.empty() && expected_.front().name == name && expected_.front().path == path &&
      ShapeOfCgroupFile(name) != CgroupFileShape::kValue) {
    return collector_.TakeLine(rest);
  }
  collector_.BeginFile(path, name, number);
  if (!collector_.TakeLine(rest)) return false;
  expected_.assign(1, {path, std::string(name)});
  in_content_ = true;
  return true;
}

// "$ cat /sys/fs/cgroup/memory.max", "==> memory.stat <==", "memory.max" alone
bool CgroupText::TakeNames(std::string_view line) {
  std::string_view name;
  size_t at = FindFileName(line, 0, &name);
  const bool is_command = Contains(line, "cat ") || Contains(line, "head ") || line.starts_with("==> ");
  if (is_command) foreign_ = at == kNowhere;
  if (at == kNowhere || (!is_command && line.size() != name.size())) return false;
  FlushRun();
  expected_.clear();
  in_content_ = false;
  for (; at != kNowhere; at = FindFileName(line, at + name.size(), &name))
    expected_.push_back({PathBefore(line, at), std::string(name)});
  return true;
}

bool CgroupText::TakeExpected(std::string_view line, uint32_t number) {
  while (!expected_.empty()) {
    const Named& named = expected_.front();
    const bool single = ShapeOfCgroupFile(named.name) == CgroupFileShape::kValue;
    if (in_content_ && single) {
      expected_.pop_front();
      in_content_ = false;
      continue;
    }
    // A path is set only with a value, so that a command without output leaves no trace.
    const bool fits = single ? line == "max" || WholeNumber(line).has_value()
                             : SplitWords(line).size() == 2 || line.starts_with("some ") || line.starts_with("full ");
    if (fits) {
      if (!in_content_) collector_.BeginFile(named.path, named.name, number);
      in_content_ = collector_.TakeLine(line) || in_content_;
      if (in_content_) return true;
    }
    if (!in_content_) return false;  // still to come
    expected_.pop_front();
    in_content_ = false;
  }
  return false;
}

bool CgroupText::TakeBare(std::string_view line, uint32_t number) {
  if (line.empty()) foreign_ = false;
  if (foreign_) return false;
  if (line.starts_with("some avg10=") || line.starts_with("full avg10=")) {
    if (line.starts_with("some ")) collector_.BeginFile("", "memory.pressure", number);
    return collector_.TakeLine(line);
  }
  const bool pair = SplitWords(line).size() == 2 && ParseStatLine(line).has_value();
  if (!pair || run_.size() >= kLongestRun) {
    FlushRun();
    return false;
  }
  if (run_.empty()) run_line_ = number;
  run_.emplace_back(line);
  return false;  // until it is known
}

void CgroupText::FlushRun() {
  const std::string_view name = FileOf(run_);
  if (!name.empty()) {
    collector_.BeginFile("", name, run_line_);
    for (const std::string& line : run_) collector_.TakeLine(line);
  }
  run_.clear();
}

void CgroupText::Finish() {
  FlushRun();
  collector_.Finish();
}

}  // namespace memtrace::tools
