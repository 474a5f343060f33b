// One ELF file with its debug information.
#ifndef MEMTRACE_TOOLS_SYMBOLS_MODULE_SYMBOLS_H_
#define MEMTRACE_TOOLS_SYMBOLS_MODULE_SYMBOLS_H_

#include <elfutils/libdwfl.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/symbols/function_index.h"
#include "tools/symbols/symbolizer.h"

namespace memtrace::tools {

class ModuleSymbols {
 public:
  // Never fails: what cannot be opened resolves nothing, and problem() says why. `debug_path` is a
  // search path as elfutils understands it.
  ModuleSymbols(const std::string& file, const std::string& build_id, const std::string& debug_path);

  // A sentence for the user; empty if all is well.
  const std::string& problem() const { return problem_; }
  std::vector<SourceFrame> Resolve(uint64_t offset);

 private:
  struct EndDwfl {
    void operator()(Dwfl* dwfl) const { dwfl_end(dwfl); }
  };
  struct UnitRange {
    Dwarf_Addr begin;
    Dwarf_Addr end;
    Dwarf_Die unit;
    Dwarf_Addr bias;
  };

  bool CheckBuildId(const std::string& file, const std::string& build_id);
  Dwarf_Die* FindUnit(Dwarf_Addr address, Dwarf_Addr* bias);
  void IndexUnits();
  std::vector<SourceFrame> ResolveWithDebugInfo(Dwarf_Addr address);

  std::string debug_path_;
  char* debug_path_pointer_ = nullptr;  // libdwfl keeps a pointer to this pointer
  Dwfl_Callbacks callbacks_{};
  std::unique_ptr<Dwfl, EndDwfl> dwfl_;
  Dwfl_Module* module_ = nullptr;  // nullptr: nothing to resolve with
  bool units_indexed_ = false;
  std::vector<UnitRange> units_;                            // by begin; only for files without .debug_aranges
  std::unordered_map<Dwarf_Off, FunctionIndex> functions_;  // by unit
  std::string problem_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_MODULE_SYMBOLS_H_
