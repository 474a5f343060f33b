#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <stdexcept>

#include "injector/manifest/manifest.h"
#include "injector/manifest/yaml_text.h"

namespace memtrace::injector {
namespace {

std::string ServiceNames(const YAML::Node& services) {
  std::string names;
  for (const auto& service : services) names += (names.empty() ? "" : ", ") + service.first.Scalar();
  return names.empty() ? "it has none" : "it has " + names;
}

// "KEY: value" maps and "KEY=value" lists.
std::string PreloadOf(const YAML::Node& environment) {
  if (environment.IsDefined() && environment.IsMap()) {
    const YAML::Node value = environment["LD_PRELOAD"];
    return value.IsDefined() && value.IsScalar() ? value.Scalar() : std::string();
  }
  if (environment.IsDefined() && environment.IsSequence()) {
    for (const YAML::Node& entry : environment) {
      if (entry.IsScalar() && entry.Scalar().starts_with("LD_PRELOAD=")) return entry.Scalar().substr(11);
    }
  }
  return "";
}

// Compose reads "$" as the beginning of a variable.
std::string ForCompose(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == '$' ? "$$" : std::string(1, c);
  return Quoted(escaped);
}

std::string Override(const std::string& manifest, const std::vector<std::string>& wanted, const Injection& injection) {
  const YAML::Node document = YAML::Load(manifest);
  const YAML::Node services = document.IsMap() ? document["services"] : YAML::Node();
  if (!services.IsDefined() || !services.IsMap())
    throw std::runtime_error("it has no services: this is no Compose file");
  std::string text = "services:\n";
  for (const std::string& name : wanted) {
    const YAML::Node service = services[name];
    if (!service.IsDefined() || !service.IsMap())
      throw std::runtime_error(fmt::format("it has no service '{}'; {}", name, ServiceNames(services)));
    text += fmt::format("  {}:\n    environment:\n", Quoted(name));
    for (const auto& [variable, value] : InjectedVariables(injection, PreloadOf(service["environment"])))
      text += fmt::format("      {}: {}\n", variable, ForCompose(value));
    text += fmt::format("    volumes:\n      - {}\n      - {}\n",
                        ForCompose(injection.library + ":" + injection.directory + "/libmemtrace.so:ro"),
                        ForCompose(injection.volume + ":" + injection.directory + "/recordings"));
  }
  return text + fmt::format("volumes:\n  {}: {{}}\n", Quoted(injection.volume));
}

}  // namespace

ManifestOutcome ComposeOverride(const std::string& manifest, const std::vector<std::string>& services,
                                const Injection& injection) {
  return OutcomeOf([&] { return Override(manifest, services, injection); });
}

}  // namespace memtrace::injector
