#include "tools/analysis/process_state.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

std::string Slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();  // does not throw when a process ends under our eyes, as an iterator would
  return content.str();
}

bool SameBoot(const format::Header& header, const std::string& proc) {
  const std::string_view recorded(reinterpret_cast<const char*>(header.boot_id), sizeof(header.boot_id));
  if (recorded == std::string(sizeof(header.boot_id), '\0')) return true;  // unknown: the start time must do
  std::string here = Slurp(proc + "/sys/kernel/random/boot_id");
  std::erase_if(here, [](char c) { return c == '-' || c == '\n'; });
  return here == FormatHex(recorded);
}

// Field 22 of /proc/PID/stat; the name in field 2 may hold anything, also parentheses.
uint64_t StartTicks(const std::string& stat) {
  std::istringstream fields(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  uint64_t ticks = 0;
  fields >> ticks;
  return fields ? ticks : 0;
}

// The PID in the innermost namespace: the last number of "NSpid:" (Linux 4.1), else the directory's name.
uint64_t InnermostPid(const std::string& status, const std::string& name) {
  std::string numbers = name;
  if (const size_t line = status.find("\nNSpid:"); line != std::string::npos) {
    numbers = status.substr(line + 7, status.find('\n', line + 1) - line - 7);
  }
  const size_t last = numbers.find_last_of(" \t");
  const char* begin = numbers.data() + (last == std::string::npos ? 0 : last + 1);
  uint64_t pid = 0;
  std::from_chars(begin, numbers.data() + numbers.size(), pid);
  return pid;
}

bool IsRunning(const format::Header& header, const std::string& proc) {
  if (header.process_start_ticks == 0 || !SameBoot(header, proc)) return false;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(proc, error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = Slurp(entry.path() / "stat");
    if (StartTicks(stat) != header.process_start_ticks) continue;
    const bool zombie = stat.find(") Z ") != std::string::npos || stat.find(") X ") != std::string::npos;
    if (!zombie && InnermostPid(Slurp(entry.path() / "status"), name) == header.pid) return true;
  }
  return false;
}

}  // namespace

std::string_view StateName(const format::Header& header, const std::string& proc) {
  switch (static_cast<format::State>(header.state)) {
    case format::State::kSnapshot:
      return "snapshot";
    case format::State::kExited:
      return "exited";
    case format::State::kExec:
      return "exec";
    case format::State::kRunning:
      break;
  }
  return IsRunning(header, proc) ? "running" : "killed";
}

}  // namespace memtrace::tools
