#include "tools/symbols/demangle.h"

#include <cxxabi.h>
#include <libiberty/demangle.h>

#include <cstdlib>
#include <memory>
#include <string_view>

namespace memtrace::tools {
namespace {

struct FreeDeleter {
  void operator()(char* text) const { std::free(text); }  // NOLINT: demanglers allocate with malloc
};
using DemangledText = std::unique_ptr<char, FreeDeleter>;

// Deeper nesting than any compiler's: demanglers recurse.
constexpr size_t kLongestMangledName = 1 << 16;

// Rust's legacy names are C++ names that end in a segment of "h" and 16 digits; the ABI's demangler would take them
// for C++ and keep the hash, which changes from build to build.
bool MayBeLegacyRust(std::string_view name) { return name.find("17h") != std::string_view::npos; }

DemangledText ByLanguage(const char* name) {
  const std::string_view text = name;
  if (text.starts_with("_R") || (text.starts_with("_ZN") && MayBeLegacyRust(text))) {
    if (DemangledText rust(rust_demangle(name, DMGL_PARAMS)); rust != nullptr) return rust;
  }
  if (text.starts_with("_Z")) {
    int status = 0;
    return DemangledText(abi::__cxa_demangle(name, nullptr, nullptr, &status));
  }
  return nullptr;
}

}  // namespace

std::string Demangle(const char* name) {
  if (name[0] != '_' || std::string_view(name).size() > kLongestMangledName) return name;
  const DemangledText text = ByLanguage(name);
  return text != nullptr && *text != '\0' ? text.get() : name;
}

}  // namespace memtrace::tools
