// Changes to the text of a YAML file at places that the parser names, so that all else stays as the user wrote it.
#ifndef MEMTRACE_INJECTOR_MANIFEST_YAML_TEXT_H_
#define MEMTRACE_INJECTOR_MANIFEST_YAML_TEXT_H_

#include <yaml-cpp/yaml.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "injector/manifest/manifest.h"

namespace memtrace::injector {

// A value as a double-quoted scalar.
std::string Quoted(const std::string& text);

// "line 3, column 7: what is wrong".
std::string Describe(const YAML::Exception& error);

// What make() returns, or why it threw: where in the text, and what.
template <typename Make>
ManifestOutcome OutcomeOf(Make make) {
  ManifestOutcome outcome;
  try {
    outcome.text = make();
  } catch (const YAML::Exception& error) {
    outcome.error = Describe(error);
  } catch (const std::runtime_error& error) {
    outcome.error = error.what();
  }
  return outcome;
}

// Items of a sequence in block style, without indentation: each begins with "- ".
using YamlItems = std::vector<std::string>;

class YamlText {
 public:
  explicit YamlText(std::string text) : text_(std::move(text)) {}

  // Throws YAML::Exception for what is no YAML, std::runtime_error for what cannot be edited.
  std::vector<YAML::Node> Documents() const { return YAML::LoadAll(text_); }

  // Puts `items` first into the sequence under `key` of `map`, or makes one; in flow style where the file has that.
  void Prepend(const YAML::Node& map, const std::string& key, const YamlItems& items);
  void ReplaceScalar(const YAML::Node& scalar, const std::string& value);
  // With all changes made.
  std::string Edited() const;

 private:
  struct Edit {
    size_t position;
    size_t removed;
    std::string inserted;
  };
  size_t PositionOf(const YAML::Node& node) const;
  void Insert(size_t position, size_t removed, std::string text);

  std::string text_;
  std::vector<Edit> edits_;
};

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_MANIFEST_YAML_TEXT_H_
