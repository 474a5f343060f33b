#include "tools/evidence/cgroup_files.h"

#include <utility>

#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr size_t kMostCgroups = 10000;
constexpr size_t kMostNames = 512;

struct ValueFile {
  std::string_view name;
  Number CgroupFiles::*value;
  int version;  // 0: of both
};
using F = CgroupFiles;
constexpr ValueFile kValueFiles[] = {
    {"memory.current", &F::current, 2},
    {"memory.peak", &F::peak, 2},
    {"memory.max", &F::max, 2},
    {"memory.high", &F::high, 2},
    {"memory.low", &F::low, 2},
    {"memory.min", &F::min, 2},
    {"memory.oom.group", &F::oom_group, 2},
    {"memory.swap.current", &F::swap_current, 2},
    {"memory.swap.peak", &F::swap_peak, 2},
    {"memory.swap.max", &F::swap_max, 2},
    {"memory.usage_in_bytes", &F::current, 1},
    {"memory.max_usage_in_bytes", &F::peak, 1},
    {"memory.limit_in_bytes", &F::max, 1},
    {"memory.soft_limit_in_bytes", &F::soft_limit, 1},
    {"memory.failcnt", &F::failcnt, 1},
    {"memory.memsw.usage_in_bytes", &F::memsw_current, 1},
    {"memory.memsw.max_usage_in_bytes", &F::memsw_peak, 1},
    {"memory.memsw.limit_in_bytes", &F::memsw_max, 1},
    {"memory.memsw.failcnt", &F::memsw_failcnt, 1},
    {"memory.kmem.usage_in_bytes", &F::kernel_current, 1},
    {"memory.kmem.limit_in_bytes", &F::kernel_max, 1},
    {"memory.kmem.tcp.usage_in_bytes", &F::tcp_current, 1},
    {"pids.current", &F::pids_current, 0},
    {"pids.peak", &F::pids_peak, 0},
    {"pids.max", &F::pids_max, 0},
};

struct NamedFile {
  std::string_view name;
  NamedNumbers CgroupFiles::*values;  // nullptr: memory.oom_control
  int version;
};
constexpr NamedFile kNamedFiles[] = {
    {"memory.stat", &F::stat, 0},
    {"memory.events", &F::events, 2},
    {"memory.events.local", &F::events_local, 2},
    {"memory.swap.events", &F::swap_events, 2},
    {"pids.events", &F::pids_events, 0},
    {"memory.oom_control", nullptr, 1},
};

template <typename Table>
auto Lookup(const Table& table, std::string_view name) -> decltype(&table[0]) {
  for (const auto& entry : table)
    if (entry.name == name) return &entry;
  return nullptr;
}

// v1 says "no limit" with the largest multiple of the page size, of whatever size pages are.
constexpr uint64_t kLeastNoLimit = (uint64_t{1} << 63) - (uint64_t{1} << 20);

Number LimitOrValue(std::string_view text) {
  if (text == "max") return kNoLimit;
  const Number value = WholeNumber(text);
  return value && *value >= kLeastNoLimit ? Number(kNoLimit) : value;
}

void SetVersion(int version, std::optional<int>* known) {
  if (version != 0) *known = version;
}

}  // namespace

CgroupFileShape ShapeOfCgroupFile(std::string_view name) {
  if (Lookup(kValueFiles, name) != nullptr) return CgroupFileShape::kValue;
  if (Lookup(kNamedFiles, name) != nullptr) return CgroupFileShape::kNamed;
  return name == "memory.pressure" ? CgroupFileShape::kPressure : CgroupFileShape::kUnknown;
}

std::string CgroupPathOf(std::string_view path) {
  constexpr std::string_view kMount = "/sys/fs/cgroup";
  const size_t mount = path.rfind(kMount);
  if (mount == std::string_view::npos) return {};
  path.remove_prefix(mount + kMount.size());
  for (const std::string_view controller : {"/memory", "/unified", "/pids", "/systemd"}) {
    std::string_view rest = path;
    if (!Consume(&rest, controller) || (!rest.empty() && rest.front() != '/')) continue;
    path = rest;
    break;
  }
  while (path.starts_with("//")) path.remove_prefix(1);
  const size_t slash = path.rfind('/');
  if (slash != std::string_view::npos && ShapeOfCgroupFile(path.substr(slash + 1)) != CgroupFileShape::kUnknown)
    path = path.substr(0, slash);
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path.empty() ? "/" : std::string(path);
}

void CgroupCollector::BeginFile(std::string_view path, std::string_view name, uint32_t line) {
  const bool other = !path.empty() && !files_.path.empty() && path != files_.path;
  const bool again = seen_.find(name) != seen_.end();
  if (other || again) {
    std::string kept = path.empty() ? files_.path : std::string();
    Finish();
    files_.path = std::move(kept);
  }
  if (!path.empty()) files_.path = path;
  if (seen_.empty()) files_.place = {file_, line};
  name_ = name;
}

void CgroupCollector::SetPath(std::string_view path) {
  if (path.empty() || path == files_.path) return;
  if (!files_.path.empty() || !seen_.empty()) Finish();
  files_.path = path;
}

bool CgroupCollector::TakeLine(std::string_view line) {
  line = Trim(line);
  if (name_ == "memory.pressure") return TakePressure(line);
  const ValueFile* single = Lookup(kValueFiles, name_);
  if (single == nullptr) return TakeNamed(line);
  const Number value = LimitOrValue(line);
  if (!value) return false;
  files_.*single->value = value;
  files_.reads.all.emplace_back(name_, *value);
  SetVersion(single->version, &files_.version);
  seen_.insert(name_);
  return true;
}

bool CgroupCollector::TakeNamed(std::string_view line) {
  const NamedFile* named = Lookup(kNamedFiles, name_);
  const std::vector<std::string_view> words = SplitWords(line);
  if (named == nullptr || words.size() != 2) return false;
  const Number value = WholeNumber(words[1]);
  if (!value || words[0].find_first_of("0123456789=/") == 0) return false;
  SetVersion(named->version, &files_.version);
  seen_.insert(name_);
  if (named->values == nullptr) {
    if (words[0] == "oom_kill_disable") files_.oom_kill_disable = value;
    if (words[0] == "under_oom") files_.under_oom = value;
    if (words[0] == "oom_kill") files_.oom_control_kills = value;
    return true;
  }
  if (named->values == &F::stat && !files_.version) {
    if (words[0] == "cache" || words[0] == "rss") files_.version = 1;
    if (words[0] == "anon") files_.version = 2;
  }
  NamedNumbers& values = files_.*named->values;
  if (values.all.size() < kMostNames) values.all.emplace_back(words[0], *value);
  return true;
}

bool CgroupCollector::TakePressure(std::string_view line) {
  const bool full = line.starts_with("full ");
  if (!full && !line.starts_with("some ")) return false;
  Pressure pressure;
  for (const std::string_view word : SplitWords(line)) {
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view value = word.substr(equals + 1);
    const std::string_view name = word.substr(0, equals);
    if (name == "total") pressure.total_us = WholeNumber(value);
    if (name == "avg10") pressure.avg10 = ConsumeDecimal(&value);
    if (name == "avg60") pressure.avg60 = ConsumeDecimal(&value);
    if (name == "avg300") pressure.avg300 = ConsumeDecimal(&value);
  }
  (full ? files_.pressure_full : files_.pressure_some) = pressure;
  seen_.insert(name_);
  return true;
}

void CgroupCollector::Finish() {
  if (!seen_.empty() && evidence_.cgroups.size() < kMostCgroups) evidence_.cgroups.push_back(std::move(files_));
  files_ = {};
  seen_.clear();
  name_.clear();
}

}  // namespace memtrace::tools
