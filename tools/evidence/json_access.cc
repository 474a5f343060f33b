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

namespace {

// Seconds, or thousandths, millionths or billionths of them, since 1970: which one its size says.
Moment MomentOfCount(uint64_t count) {
  constexpr uint64_t kFirst = 100000000;  // 1973 in seconds
  constexpr uint64_t kLast = 9000000000;  // 2255
  Moment moment;
  uint64_t scale = 1000000000;
  for (uint64_t unit = 1; scale > 0; unit *= 1000, scale /= 1000) {
    if (count / unit < kFirst || count / unit >= kLast) continue;
    moment.unix_ns = static_cast<int64_t>(count * scale);
    break;
  }
  return moment;
}

}  // namespace

Moment MomentAt(const JsonValue& object, std::initializer_list<std::string_view> path) {
  const JsonValue& value = Member(object, path);
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const Number number = WholeNumber(text);
    return number ? MomentOfCount(*number) : MomentOf(text);
  }
  return value.is_number_unsigned() ? MomentOfCount(value.get<uint64_t>()) : Moment();
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
