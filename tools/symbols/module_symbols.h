// One ELF file with its debug information.
#ifndef MEMTRACE_TOOLS_SYMBOLS_MODULE_SYMBOLS_H_
#define MEMTRACE_TOOLS_SYMBOLS_MODULE_SYMBOLS_H_

#include <elfutils/libdwfl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/symbols/debug_files.h"
#include "tools/symbols/debug_info.h"
#include "tools/symbols/source_frame.h"
#include "tools/symbols/symbol_index.h"

namespace memtrace::tools {

class ModuleSymbols {
 public:
  // Never fails: what cannot be opened resolves nothing, and warnings() says why. Only finds the files; they are parsed
  // when the first name is asked for. `files` must outlive this.
  ModuleSymbols(const std::string& path, const std::string& build_id, DebugFiles* files);
  ModuleSymbols(const ModuleSymbols&) = delete;
  ModuleSymbols& operator=(const ModuleSymbols&) = delete;

  // Sentences for the user; what is missing may only come out while names are resolved.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Which files the names come from: as long as it is the same, so are they. Empty if there is no file.
  const std::string& fingerprint() const { return fingerprint_; }
  // False once a name may be worse than it could be, because a further file was missing.
  bool complete() const { return complete_; }

  std::vector<SourceFrame> Resolve(uint64_t offset);

 private:
  struct EndDwfl {
    void operator()(Dwfl* dwfl) const { dwfl_end(dwfl); }
  };

  void Load();
  static int FindDebugInfo(Dwfl_Module*, void** user_data, const char*, Dwarf_Addr, const char*, const char* link,
                           GElf_Word, char** found_name);
  int OpenAlternate();

  DebugFiles& files_;
  std::optional<ElfFile> binary_;
  std::optional<ElfFile> debug_file_;
  std::string fingerprint_;
  std::vector<std::string> warnings_;
  bool complete_ = true;
  bool loaded_ = false;

  Dwfl_Callbacks callbacks_{};
  std::unique_ptr<Dwfl, EndDwfl> dwfl_;
  Dwfl_Module* module_ = nullptr;  // nullptr: nothing to resolve with
  std::optional<DebugInfo> debug_info_;
  std::optional<SymbolIndex> symbols_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_MODULE_SYMBOLS_H_
