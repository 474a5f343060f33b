// Looking into JSON of any shape: what is not there or of another type is nothing.
#ifndef MEMTRACE_TOOLS_EVIDENCE_JSON_ACCESS_H_
#define MEMTRACE_TOOLS_EVIDENCE_JSON_ACCESS_H_

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

using JsonValue = nlohmann::json;

// The member at the end of a path of keys, or null.
const JsonValue& Member(const JsonValue& object, std::initializer_list<std::string_view> path);
std::string TextAt(const JsonValue& object, std::initializer_list<std::string_view> path);
std::optional<bool> BoolAt(const JsonValue& object, std::initializer_list<std::string_view> path);
// Numbers, also as text ("PIDs": "7"); no fractions, nothing negative but in IntAt.
Number NumberAt(const JsonValue& object, std::initializer_list<std::string_view> path);
std::optional<int> IntAt(const JsonValue& object, std::initializer_list<std::string_view> path);
std::optional<uint32_t> IdAt(const JsonValue& object, std::initializer_list<std::string_view> path);
// A time as text, or in nanoseconds or seconds since 1970.
Moment MomentAt(const JsonValue& object, std::initializer_list<std::string_view> path);

// Where the parts of a document stand in its text.
class Locator {
 public:
  Locator(uint32_t file, std::string_view text, uint32_t first_line)
      : file_(file), text_(text), first_line_(first_line) {}
  // The first `key` after the first `name` (either may be empty), from the last place on; else that place.
  Place Find(std::string_view name, std::string_view key);

 private:
  const uint32_t file_;
  const std::string_view text_;
  const uint32_t first_line_;
  size_t at_ = 0;
  uint32_t lines_ = 0;  // before at_
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_JSON_ACCESS_H_
