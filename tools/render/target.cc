#include "tools/render/target.h"

#include <string_view>

#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

std::vector<std::string> SplitArguments(const std::string& text) {
  std::vector<std::string> arguments;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\0', begin), text.size());
    arguments.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return arguments;
}

std::string LibcName(uint32_t libc) {
  switch (static_cast<format::Libc>(libc)) {
    case format::Libc::kGlibc:
      return "glibc";
    case format::Libc::kMusl:
      return "musl";
    default:
      return "";
  }
}

}  // namespace

std::string ContainerIdOf(const std::string& cgroup_path) {
  constexpr size_t kDigits = 64;
  std::string found;
  for (size_t begin = 0; begin < cgroup_path.size();) {
    const size_t first = cgroup_path.find_first_of("0123456789abcdef", begin);
    if (first == std::string::npos) break;
    const size_t end = std::min(cgroup_path.find_first_not_of("0123456789abcdef", first), cgroup_path.size());
    if (end - first == kDigits) found = cgroup_path.substr(first, kDigits);
    begin = end;
  }
  return found;
}

Target DescribeTarget(const Report& report) {
  const Profile& profile = *report.profile;
  Target target;
  target.exe = profile.BlobOr(format::BlobKind::kExecutable, "");
  target.command = SplitArguments(profile.BlobOr(format::BlobKind::kCommand, ""));
  target.hostname = profile.BlobOr(format::BlobKind::kHostname, "");
  target.container_id = ContainerIdOf(profile.BlobOr(format::BlobKind::kCgroupPath, ""));
  target.libc = LibcName(profile.header.libc);
  target.uptime_s = static_cast<double>(Excess(report.end_ns, report.started_ns)) / 1e9;
  return target;
}

std::string SamplingName(const format::Header& header) {
  switch (static_cast<format::Sampling>(header.sampling)) {
    case format::Sampling::kExact:
      return "exact";
    case format::Sampling::kFixed:
      return "fixed";
    case format::Sampling::kAuto:
      return "auto";
  }
  return "";
}

const format::Rate& CurrentRate(const format::Header& header) {
  return header.rates[header.rate_index % format::kRateSlots];
}

}  // namespace memtrace::tools
