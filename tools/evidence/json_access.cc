#include "tools/evidence/json_access.h"

#include <algorithm>
#include <limits>

#include "tools/evidence/stamp.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

const JsonValue kNull;

}  // namespace

const JsonValue& Member(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const JsonValue* at = &object;
  for (const std::string_view key : path) {
    if (!at->is_object()) return kNull;
    const auto found = at->find(key);
    if (found == at->end()) return kNull;
    at = &*found;
  }
  return *at;
}

std::string TextAt(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const JsonValue& value = Member(object, path);
  return value.is_string() ? value.get_ref<const std::string&>() : std::string();
}

std::optional<bool> BoolAt(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const JsonValue& value = Member(object, path);
  if (value.is_boolean()) return value.get<bool>();
  return std::nullopt;
}

Number NumberAt(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const JsonValue& value = Member(object, path);
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_string()) return WholeNumber(value.get_ref<const std::string&>());
  if (value.is_number_float() && value.get<double>() >= 0 && value.get<double>() < 9e15) {  // 6.4e+07
    return static_cast<uint64_t>(value.get<double>());
  }
  return std::nullopt;
}

std::optional<int> IntAt(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const JsonValue& value = Member(object, path);
  if (value.is_string()) return WholeInt(value.get_ref<const std::string&>());
  if (!value.is_number_integer()) return std::nullopt;
  const auto number = value.get<int64_t>();
  const bool fits = number >= std::numeric_limits<int>::min() && number <= std::numeric_limits<int>::max();
  return fits ? std::optional(static_cast<int>(number)) : std::nullopt;
}

std::optional<uint32_t> IdAt(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const Number value = NumberAt(object, path);
  if (!value || *value > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return static_cast<uint32_t>(*value);
}

Moment MomentAt(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const JsonValue& value = Member(object, path);
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const Number number = WholeNumber(text);
    if (!number) return MomentOf(text);
    Moment moment;
    if (*number > 1000000000000000 && *number < 9000000000000000000) moment.unix_ns = static_cast<int64_t>(*number);
    return moment;
  }
  Moment moment;
  if (!value.is_number_unsigned()) return moment;
  const auto number = value.get<uint64_t>();
  if (number == 0 || number > 9000000000000000000) return moment;
  constexpr uint64_t kLargestSeconds = 9000000000;  // the year 2255
  moment.unix_ns = static_cast<int64_t>(number < kLargestSeconds ? number * 1000000000 : number);
  return moment;
}

Place Locator::Find(std::string_view name, std::string_view key) {
  size_t to = at_;
  for (const std::string_view word : {name, key}) {
    const size_t found = word.empty() ? std::string_view::npos : text_.find(word, to);
    if (found != std::string_view::npos) to = found;
  }
  lines_ += static_cast<uint32_t>(
      std::count(text_.begin() + static_cast<ptrdiff_t>(at_), text_.begin() + static_cast<ptrdiff_t>(to), '\n'));
  at_ = to;
  return {file_, first_line_ + lines_};
}

}  // namespace memtrace::tools
