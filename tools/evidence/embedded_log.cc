#include "tools/evidence/embedded_log.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

bool IsBytes(const JsonValue& value) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), [](const JsonValue& byte) {
           return byte.is_number_unsigned() && byte.get<uint64_t>() < 256;
         });
}

constexpr const char* kMessageKeys[] = {"MESSAGE", "message", "msg", "log", "line", "textPayload", "@message"};
constexpr int kDeepestEntry = 3;  // {"content": {"message": ...}}, {"hits": {"hits": [{"_source": ...

bool HasMessage(const JsonValue& object) {
  return std::any_of(std::begin(kMessageKeys), std::end(kMessageKeys), [&](const char* key) {
    const auto found = object.find(key);
    return found != object.end() && (found->is_string() || IsBytes(*found));
  });
}

bool IsLogEntryAt(const JsonValue& value, int depth) {
  if (value.is_object() && (HasMessage(value) || value.contains("__REALTIME_TIMESTAMP"))) return true;
  return depth > 0 && value.is_structured() && std::any_of(value.begin(), value.end(), [&](const JsonValue& child) {
           return IsLogEntryAt(child, depth - 1);
         });
}

using Visitor = std::function<void(std::string_view, const Stamp&)>;

// ["1772510706000000000", "the line"] of Loki
bool VisitPair(const JsonValue& array, const Visitor& visit) {
  constexpr size_t kNanosecondDigits = 16;
  if (array.size() < 2 || !array[0].is_string() || !array[1].is_string()) return false;
  const std::string& number = array[0].get_ref<const std::string&>();
  const Moment moment = MomentAt(JsonValue{{"t", number}}, {"t"});
  if (number.size() < kNanosecondDigits || !moment.unix_ns) return false;
  visit(array[1].get_ref<const std::string&>(), {moment, static_cast<double>(*moment.unix_ns) / 1e9, {}});
  return true;
}

// [{"field": "@timestamp", "value": ...}, {"field": "@message", "value": ...}] of CloudWatch: an object in pieces
JsonValue Assembled(const JsonValue& array) {
  JsonValue object = JsonValue::object();
  for (const JsonValue& part : array) {
    if (!part.is_object() || part.size() != 2 || !part.contains("value")) return nullptr;
    const std::string name = TextAt(part, {"field"});
    if (name.empty()) return nullptr;
    if (name != "@ptr") object[name] = part["value"];
  }
  return object.empty() ? JsonValue() : object;
}

void Visit(const JsonValue& value, const Stamp& around, const Visitor& visit) {
  if (value.is_string()) return visit(value.get_ref<const std::string&>(), around);
  if (IsBytes(value)) {
    std::string text;
    for (const JsonValue& byte : value) text += static_cast<char>(byte.get<unsigned>());
    return visit(text, around);
  }
  if (value.is_array()) {
    if (VisitPair(value, visit)) return;
    const JsonValue object = Assembled(value);
    if (object.is_object()) return Visit(object, around, visit);
    for (const JsonValue& child : value) Visit(child, around, visit);  // as deep as ParseJson allows
    return;
  }
  if (!value.is_object()) return;
  const Stamp own = StampOf(value);
  const Stamp& stamp = own.moment.known() ? own : around;
  const bool entry = HasMessage(value);
  for (const auto& [key, child] : value.items()) {
    const bool is_message = std::find(std::begin(kMessageKeys), std::end(kMessageKeys), key) != std::end(kMessageKeys);
    if (!entry || is_message || (child.is_structured() && !IsBytes(child))) Visit(child, stamp, visit);
  }
}

}  // namespace

bool IsLogEntry(const JsonValue& document) { return IsLogEntryAt(document, kDeepestEntry); }

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
  for (const std::string_view key : {"time", "timestamp", "@timestamp", "ts", "timereported"}) {
    if (!stamp.moment.unix_ns) stamp.moment = MomentAt(entry, {key});
  }
  stamp.origin = TextAt(entry, {"_HOSTNAME"});
  if (stamp.moment.unix_ns) stamp.clock_s = static_cast<double>(*stamp.moment.unix_ns) / 1e9;
  if (stamp.moment.uptime_s) stamp.clock_s = stamp.moment.uptime_s;
  return stamp;
}

void ForEachText(const JsonValue& document, const Visitor& visit) { Visit(document, {}, visit); }

std::optional<std::string_view> FieldLines::Take(std::string_view line, bool* is_field) {
  constexpr uint64_t kLargest = uint64_t{1} << 53;
  line = Trim(line);
  *is_field = true;
  if (Consume(&line, "MESSAGE=")) return line;
  if (line.starts_with("__CURSOR=")) {
    stamp_ = {};
  } else if (Consume(&line, "__REALTIME_TIMESTAMP=")) {
    const Number microseconds = WholeNumber(line);
    if (microseconds && *microseconds < kLargest) stamp_.moment.unix_ns = static_cast<int64_t>(*microseconds * 1000);
  } else if (Consume(&line, "__MONOTONIC_TIMESTAMP=")) {
    const Number microseconds = WholeNumber(line);
    if (microseconds && *microseconds < kLargest) stamp_.clock_s = static_cast<double>(*microseconds) / 1e6;
    stamp_.moment.uptime_s = stamp_.clock_s;
  } else if (line.ends_with(']') && Contains(line, " [s=") && Contains(line, ";i=")) {
    stamp_ = ParseStamp(line.substr(0, line.find(" [s=")));
  } else {
    *is_field = false;
  }
  return std::nullopt;
}

}  // namespace memtrace::tools
