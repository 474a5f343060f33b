#include "tools/evidence/evidence.h"

namespace memtrace::tools {
namespace {

constexpr size_t kIdDigits = 64;

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }
bool IsWordByte(char c) { return IsLowerHex(c) || (c >= 'g' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The id in one component, which may stand between other characters but not inside a longer word.
std::string_view IdIn(std::string_view component) {
  size_t run = 0;
  for (size_t i = 0; i <= component.size(); ++i) {
    if (i < component.size() && IsLowerHex(component[i])) {
      ++run;
      continue;
    }
    const bool word_before = run < i && IsWordByte(component[i - run - 1]);
    const bool word_after = i < component.size() && IsWordByte(component[i]);
    if (run == kIdDigits && !word_before && !word_after) return component.substr(i - run, run);
    run = 0;
  }
  return {};
}

}  // namespace

std::string ContainerIdOf(std::string_view cgroup_path) {
  while (!cgroup_path.empty()) {
    const size_t slash = cgroup_path.rfind('/');
    const std::string_view component = slash == std::string_view::npos ? cgroup_path : cgroup_path.substr(slash + 1);
    const std::string_view id = IdIn(component);
    if (!id.empty()) return std::string(id);
    if (slash == std::string_view::npos) break;
    cgroup_path = cgroup_path.substr(0, slash);
  }
  return {};
}

Number CgroupFiles::OomKills() const {
  const Number kills = events.Find("oom_kill");
  return kills ? kills : oom_control_kills;
}

std::string Evidence::Where(Place place) const {
  if (place.file >= files.size()) return "?";
  const std::string& name = files[place.file].name;
  return place.line == 0 ? name : name + ":" + std::to_string(place.line);
}

}  // namespace memtrace::tools
