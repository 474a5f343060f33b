#include "injector/manifest/yaml_text.h"

#include <algorithm>
#include <stdexcept>

namespace memtrace::injector {
namespace {

std::string Indented(const std::vector<std::string>& lines, size_t columns) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n" + std::string(columns, ' ');
  return text;
}

bool IsFlow(const YAML::Node& node) { return node.Style() == YAML::EmitterStyle::Flow; }

// As JSON, which is flow style too: the file may be either.
std::string Flow(const YAML::Node& node) {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (node.IsMap()) {
    for (const auto& pair : node) add(Quoted(pair.first.Scalar()) + ": " + Flow(pair.second));
    return "{" + text + "}";
  }
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) add(Flow(item));
    return "[" + text + "]";
  }
  constexpr char kPlainTag[] = "?";  // yaml-cpp's: written without quotes
  bool is_bool = false;
  int64_t number = 0;
  const bool is_bare = node.Tag() == kPlainTag &&
                       (YAML::convert<bool>::decode(node, is_bool) || YAML::convert<int64_t>::decode(node, number));
  return is_bare ? node.Scalar() : Quoted(node.Scalar());
}

std::string FlowItems(const YamlItems& lines) {
  const std::string sequence = Flow(YAML::Load(Indented(lines, 0)));
  return sequence.substr(1, sequence.size() - 2);
}

}  // namespace

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

std::string Describe(const YAML::Exception& error) {
  if (error.mark.is_null()) return error.msg;
  return "line " + std::to_string(error.mark.line + 1) + ", column " + std::to_string(error.mark.column + 1) + ": " +
         error.msg;
}

// The parser counts bytes of what it reads as UTF-8.
size_t YamlText::PositionOf(const YAML::Node& node) const {
  const YAML::Mark mark = node.Mark();
  if (mark.is_null() || mark.pos < 0 || static_cast<size_t>(mark.pos) > text_.size())
    throw std::runtime_error("a place in the file could not be found again");
  return static_cast<size_t>(mark.pos);
}

void YamlText::Insert(size_t position, size_t removed, std::string text) {
  const auto same = [&](const Edit& edit) { return edit.position == position && edit.inserted == text; };
  // What several aliases share is changed once.
  if (std::none_of(edits_.begin(), edits_.end(), same)) edits_.push_back({position, removed, std::move(text)});
}

void YamlText::Prepend(const YAML::Node& map, const std::string& key, const YamlItems& items) {
  const YAML::Node sequence = map[key];
  if (sequence.IsDefined() && !sequence.IsNull() && !sequence.IsSequence())
    throw YAML::ParserException(sequence.Mark(), key + " is not a list");
  if (sequence.IsDefined() && sequence.IsSequence()) {
    const size_t position = PositionOf(sequence);
    if (IsFlow(sequence)) return Insert(position + 1, 0, FlowItems(items) + (sequence.size() > 0 ? ", " : ""));
    return Insert(position, 0, Indented(items, static_cast<size_t>(sequence.Mark().column)));
  }
  if (sequence.IsDefined()) {  // "key:" with nothing behind it
    for (const auto& pair : map) {
      if (pair.first.Scalar() != key) continue;
      const size_t colon = text_.find(':', PositionOf(pair.first));
      const std::string margin(static_cast<size_t>(pair.first.Mark().column) + 2, ' ');
      std::string lines;
      for (const std::string& line : items) lines += "\n" + margin + line;
      size_t removed = 0;
      for (const std::string_view null : {" null", " ~"}) {
        if (text_.compare(colon + 1, null.size(), null) == 0) removed = null.size();
      }
      return Insert(colon + 1, removed, IsFlow(map) ? " [" + FlowItems(items) + "]" : lines);
    }
  }
  const size_t position = PositionOf(map);
  if (IsFlow(map))
    return Insert(position + 1, 0, "\"" + key + "\": [" + FlowItems(items) + "]" + (map.size() > 0 ? ", " : ""));
  std::vector<std::string> lines = {key + ":"};
  for (const std::string& line : items) lines.push_back("  " + line);
  Insert(position, 0, Indented(lines, static_cast<size_t>(map.Mark().column)));
}

void YamlText::ReplaceScalar(const YAML::Node& scalar, const std::string& value) {
  const size_t position = PositionOf(scalar);
  const char first = position < text_.size() ? text_[position] : '\0';
  size_t end = position;
  if (first == '"' || first == '\'') {
    for (end = position + 1; end < text_.size() && text_[end] != first; ++end)
      end += first == '"' && text_[end] == '\\' ? 1 : 0;
    ++end;
  } else if (text_.compare(position, scalar.Scalar().size(), scalar.Scalar()) == 0) {
    end = position + scalar.Scalar().size();
  } else {
    throw YAML::ParserException(scalar.Mark(),
                                "this value is written in a way that cannot be replaced; put it into quotes");
  }
  Insert(position, std::min(end, text_.size()) - position, Quoted(value));
}

std::string YamlText::Edited() const {
  // Later edits of one place were asked for later and stand behind.
  std::vector<Edit> edits = edits_;
  std::stable_sort(edits.begin(), edits.end(), [](const Edit& a, const Edit& b) { return a.position < b.position; });
  std::string text;
  size_t copied = 0;
  for (const Edit& edit : edits) {
    text.append(text_, copied, edit.position - copied).append(edit.inserted);
    copied = edit.position + edit.removed;
  }
  return text.append(text_, copied);
}

}  // namespace memtrace::injector
