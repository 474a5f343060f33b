// Names for addresses in ELF files, through elfutils: inlined frames and lines where there is
// debug information (in the file, by build-id, by link, or from a server), else symbol tables, else nothing.
// A file whose build-id is not the recorded one gives no names at all: wrong ones are worse.
#ifndef MEMTRACE_TOOLS_SYMBOLS_SYMBOLIZER_H_
#define MEMTRACE_TOOLS_SYMBOLS_SYMBOLIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/symbols/debug_files.h"
#include "tools/symbols/source_frame.h"
#include "tools/symbols/symbol_options.h"

namespace memtrace::tools {

class Symbolizer {
 public:
  explicit Symbolizer(SymbolOptions options);
  // Keeps what was resolved for the next report, see SymbolCache.
  ~Symbolizer();
  Symbolizer(const Symbolizer&) = delete;
  Symbolizer& operator=(const Symbolizer&) = delete;

  // The functions at `offset` (an address in the ELF file) of the file that was mapped from `path`,
  // innermost first; empty where nothing is known. Each file is opened once, at its first use.
  std::vector<SourceFrame> Resolve(const std::string& path, const std::string& build_id, uint64_t offset);
  const HelperTable& helpers() const { return options_.helpers; }
  // One sentence per file that could not be used although it should have been. Grows while names are resolved.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Module;
  Module& Open(const std::string& path, const std::string& build_id);
  void CollectWarnings(const std::vector<std::string>& from, size_t* collected);

  SymbolOptions options_;
  DebugFiles files_;
  size_t files_warned_ = 0;
  std::unordered_map<std::string, std::unique_ptr<Module>> modules_;
  std::vector<std::string> warnings_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_SYMBOLIZER_H_
