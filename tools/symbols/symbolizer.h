// Names for addresses in ELF files, through elfutils: inlined frames and lines where there is
// debug information (in the file, by build-id or .gnu_debuglink), else symbol tables, else nothing.
// A file whose build-id is not the recorded one gives no names at all: wrong ones are worse.
#ifndef MEMTRACE_TOOLS_SYMBOLS_SYMBOLIZER_H_
#define MEMTRACE_TOOLS_SYMBOLS_SYMBOLIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace memtrace::tools {

struct SymbolOptions {
  bool enabled = true;
  std::string sysroot;                       // put before every module path
  std::string debug_dir = "/usr/lib/debug";  // holds .build-id/ and split debug files
};

// One function at an address; several where functions are inlined.
struct SourceFrame {
  std::string function;  // demangled; empty if unknown
  std::string file;      // empty if unknown
  int line = 0;          // 0 if unknown
  bool inlined = false;  // its code lies inside of the next frame's function
};

// "std::vector<int>::push_back(int const&)" for "_ZNSt6vectorIiSaIiEE9push_backERKi"; the name
// itself if it is not mangled.
std::string Demangle(const char* name);

class ModuleSymbols;

class Symbolizer {
 public:
  explicit Symbolizer(SymbolOptions options);
  ~Symbolizer();
  Symbolizer(const Symbolizer&) = delete;
  Symbolizer& operator=(const Symbolizer&) = delete;

  // The functions at `offset` (an address in the ELF file) of the file that was mapped from `path`,
  // innermost first; empty where nothing is known. Each file is opened once, at its first use.
  std::vector<SourceFrame> Resolve(const std::string& path, const std::string& build_id, uint64_t offset);
  // One sentence per module that could not be used although it should have been.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  ModuleSymbols* Open(const std::string& path, const std::string& build_id);

  SymbolOptions options_;
  std::unordered_map<std::string, std::unique_ptr<ModuleSymbols>> modules_;
  std::vector<std::string> warnings_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_SYMBOLIZER_H_
