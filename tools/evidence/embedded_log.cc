#include "tools/evidence/embedded_log.h"

#include <algorithm>
#include <string>

namespace memtrace::tools {
namespace {

bool IsBytes(const JsonValue& value) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), [](const JsonValue& byte) {
           return byte.is_number_unsigned() && byte.get<uint64_t>() < 256;
         });
}

}  // namespace

bool IsLogEntry(const JsonValue& document) {
  if (!document.is_object()) return false;
  for (const char* key : {"MESSAGE", "log", "message", "msg", "__REALTIME_TIMESTAMP"})
    if (document.contains(key)) return true;
  return false;
}

Stamp StampOf(const JsonValue& entry) {
  Stamp stamp;
  const auto microseconds = [&entry](std::string_view key) { return NumberAt(entry, {key}); };
  Number real = microseconds("_SOURCE_REALTIME_TIMESTAMP");
  if (!real) real = microseconds("__REALTIME_TIMESTAMP");
  Number monotonic = microseconds("_SOURCE_MONOTONIC_TIMESTAMP");
  if (!monotonic) monotonic = microseconds("__MONOTONIC_TIMESTAMP");
  constexpr uint64_t kLargest = uint64_t{1} << 53;
  if (real && *real < kLargest) stamp.moment.unix_ns = static_cast<int64_t>(*real * 1000);
  if (monotonic && *monotonic < kLargest) stamp.moment.uptime_s = static_cast<double>(*monotonic) / 1e6;
  for (const std::string_view key : {"time", "timestamp", "@timestamp", "ts"}) {
    if (!stamp.moment.unix_ns) stamp.moment = MomentAt(entry, {key});
  }
  stamp.origin = TextAt(entry, {"_HOSTNAME"});
  if (stamp.moment.unix_ns) stamp.clock_s = static_cast<double>(*stamp.moment.unix_ns) / 1e9;
  if (stamp.moment.uptime_s) stamp.clock_s = stamp.moment.uptime_s;
  return stamp;
}

void ForEachText(const JsonValue& document, const std::function<void(std::string_view)>& visit) {
  if (document.is_string()) {
    visit(document.get_ref<const std::string&>());
  } else if (IsBytes(document)) {
    std::string text;
    for (const JsonValue& byte : document) text += static_cast<char>(byte.get<unsigned>());
    visit(text);
  } else if (document.is_structured()) {
    for (const JsonValue& child : document) ForEachText(child, visit);  // as deep as ParseJson allows
  }
}

}  // namespace memtrace::tools
