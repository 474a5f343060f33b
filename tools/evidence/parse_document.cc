#include "tools/evidence/parse_document.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr size_t kMostYamlNodes = 1000000;

JsonValue FromScalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  if (text == "true" || text == "false") return text == "true";
  if (text == "null" || text == "~" || text.empty()) return nullptr;
  if (const auto number = WholeNumber(text)) return *number;
  if (const auto number = WholeInt(text)) return *number;
  return text;
}

// Counts down `budget`; at 0 the rest is null.
JsonValue FromYaml(const YAML::Node& node, int depth, size_t* budget) {
  if (*budget == 0 || depth > kDeepestJson) return nullptr;
  --*budget;
  if (node.IsScalar()) return FromScalar(node);
  if (node.IsSequence()) {
    JsonValue array = JsonValue::array();
    for (const YAML::Node& child : node) array.push_back(FromYaml(child, depth + 1, budget));
    return array;
  }
  if (!node.IsMap()) return nullptr;
  JsonValue object = JsonValue::object();
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) continue;
    const std::string& key = entry.first.Scalar();
    if (key == "<<" && entry.second.IsMap()) {  // what an anchor brings; its own keys count more
      const JsonValue merged = FromYaml(entry.second, depth + 1, budget);
      for (const auto& [name, value] : merged.items())
        if (!object.contains(name)) object[name] = value;
      continue;
    }
    object[key] = FromYaml(entry.second, depth + 1, budget);
  }
  return object;
}

// At the lines of three dashes, which separate documents wherever they stand.
std::vector<std::string> SplitYaml(std::string_view text) {
  std::vector<std::string> documents(1);
  for (const std::string_view line : Split(text, '\n')) {
    const bool separator = line.starts_with("---") && (line.size() == 3 || IsBlank(line[3]) || line[3] == '\r');
    if (separator) documents.emplace_back();
    documents.back() += separator ? line.substr(3) : line;
    documents.back() += '\n';
  }
  return documents;
}

}  // namespace

std::optional<JsonValue> ParseJson(std::string_view text) {
  const auto shallow = [](int depth, JsonValue::parse_event_t, JsonValue&) { return depth <= kDeepestJson; };
  JsonValue value = JsonValue::parse(text, shallow, false);
  if (value.is_discarded()) return std::nullopt;
  return value;
}

std::vector<std::string_view> SplitJson(std::string_view text) {
  std::vector<std::string_view> values;
  size_t depth = 0;
  size_t begin = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (depth++ == 0) begin = i;
    } else if ((c == '}' || c == ']') && depth > 0 && --depth == 0) {
      values.push_back(text.substr(begin, i + 1 - begin));
    }
  }
  return values;
}

std::vector<JsonValue> ParseYaml(std::string_view text) {
  std::vector<JsonValue> documents;
  try {
    size_t budget = kMostYamlNodes;
    // One by one: LoadAll does not come to an end where a bracket is closed that was not opened (yaml-cpp 0.7).
    for (const std::string& document : SplitYaml(text)) documents.push_back(FromYaml(YAML::Load(document), 0, &budget));
    if (budget == 0) documents.clear();
  } catch (const YAML::Exception&) {
    documents.clear();
  }
  return documents;
}

bool LooksLikeYaml(std::string_view head) {
  constexpr std::string_view kKeys[] = {
      "apiVersion:", "- apiVersion:", "kind:", "services:", "items:", "status:", "containerStatuses:"};
  for (const std::string_view line : Split(head, '\n')) {
    for (const std::string_view key : kKeys)
      if (line.starts_with(key)) return true;
  }
  return false;
}

}  // namespace memtrace::tools
