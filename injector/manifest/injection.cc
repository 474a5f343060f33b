#include <algorithm>

#include "injector/launch.h"
#include "injector/manifest/manifest.h"

namespace memtrace::injector {

std::vector<std::pair<std::string, std::string>> InjectedVariables(const Injection& injection,
                                                                   const std::string& existing_preload) {
  std::vector<std::pair<std::string, std::string>> variables = {
      {"LD_PRELOAD", PreloadList(injection.directory + "/libmemtrace.so", existing_preload)}};
  const auto is_directory = [](const auto& variable) { return variable.first == "MEMTRACE_DIR"; };
  if (std::none_of(injection.variables.begin(), injection.variables.end(), is_directory))
    variables.emplace_back("MEMTRACE_DIR", injection.directory + "/recordings");
  variables.insert(variables.end(), injection.variables.begin(), injection.variables.end());
  return variables;
}

}  // namespace memtrace::injector
