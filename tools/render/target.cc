#include "tools/render/target.h"

#include <fmt/format.h>

#include <string_view>

#include "tools/common/numbers.h"
#include "tools/common/quantity.h"
#include "tools/evidence/evidence.h"

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

std::string SamplingText(const Profile& profile) {
  const uint64_t current = CurrentRate(profile.header).bytes;
  const uint64_t coarsest = profile.CoarsestRate();
  const std::string text = current <= 1 ? "every allocation" : fmt::format("one sample per {}", FormatBytes(current));
  return coarsest <= current ? text : fmt::format("{}, one per {} at times", text, FormatBytes(coarsest));
}

}  // namespace memtrace::tools
