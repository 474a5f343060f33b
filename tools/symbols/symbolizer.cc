#include "tools/symbols/symbolizer.h"

#include <cxxabi.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <utility>

#include "tools/symbols/module_symbols.h"

namespace memtrace::tools {

std::string Demangle(const char* name) {
  // Only what is a mangled name: __cxa_demangle also takes types, and reads "f" as "float".
  if (!std::string_view(name).starts_with("_Z")) return name;
  int status = 0;
  char* demangled = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string text = status == 0 && demangled != nullptr ? demangled : name;
  std::free(demangled);  // NOLINT: allocated with malloc, by the ABI
  return text;
}

Symbolizer::Symbolizer(SymbolOptions options) : options_(std::move(options)) {
  if (!options_.sysroot.empty()) options_.sysroot = std::filesystem::absolute(options_.sysroot).string();
}
Symbolizer::~Symbolizer() = default;

ModuleSymbols* Symbolizer::Open(const std::string& path, const std::string& build_id) {
  std::unique_ptr<ModuleSymbols>& module = modules_[path + '\0' + build_id];
  if (module == nullptr) {
    // An absolute directory of the search path holds .build-id/ and a tree of debug files; "" and
    // ".debug" are relative to the file (libdwfl, standard-find-debuginfo.c). "+": check the CRC.
    std::string debug_path = "+:.debug:" + std::filesystem::absolute(options_.debug_dir).string();
    if (!options_.sysroot.empty()) debug_path += ":" + options_.sysroot + "/usr/lib/debug";
    module = std::make_unique<ModuleSymbols>(options_.sysroot + path, build_id, debug_path);
    if (!module->problem().empty()) warnings_.push_back(module->problem());
  }
  return module.get();
}

std::vector<SourceFrame> Symbolizer::Resolve(const std::string& path, const std::string& build_id, uint64_t offset) {
  // Pseudo files ("[vdso]") and memory without a file have no symbols on disk.
  if (!options_.enabled || path.empty() || path[0] != '/') return {};
  static constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) return Resolve(path.substr(0, path.size() - kDeleted.size()), build_id, offset);
  return Open(path, build_id)->Resolve(offset);
}

}  // namespace memtrace::tools
