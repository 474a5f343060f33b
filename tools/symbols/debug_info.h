// The DWARF of one ELF file: functions, inlined ones too, with their lines.
#ifndef MEMTRACE_TOOLS_SYMBOLS_DEBUG_INFO_H_
#define MEMTRACE_TOOLS_SYMBOLS_DEBUG_INFO_H_

#include <elfutils/libdwfl.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/symbols/function_index.h"
#include "tools/symbols/source_frame.h"
#include "tools/symbols/split_package.h"

namespace memtrace::tools {

class DebugInfo {
 public:
  // The module must outlive this. `package` has the parts of split units that lie in no file of their own; may be
  // nullptr.
  DebugInfo(Dwfl_Module* module, std::unique_ptr<SplitPackage> package)
      : module_(module), package_(std::move(package)) {}

  // The functions at an address, innermost first; empty where nothing is known. A function may lack its name.
  std::vector<SourceFrame> Resolve(Dwarf_Addr address);
  // The first .dwo file that could not be found, without which inlined functions are missing; empty if none was missed.
  const std::string& missing_split_file() const { return missing_split_file_; }

 private:
  struct UnitRange {
    Dwarf_Addr begin;
    Dwarf_Addr end;
    Dwarf_Die unit;
    Dwarf_Addr bias;
  };
  // What is known of a compilation unit whose addresses were looked up.
  struct Unit {
    Dwarf_Die details;  // the unit itself, or its part in a .dwo file
    FunctionIndex functions;
  };

  Dwarf_Die* FindUnit(Dwarf_Addr address, Dwarf_Addr* bias);
  void IndexUnits();
  Unit& Details(Dwarf_Die* unit);

  // Makes the part that is not in the skeleton the unit's details.
  void FindSplitPart(Dwarf_Die* skeleton, Dwarf_Die* details);

  Dwfl_Module* module_;
  std::unique_ptr<SplitPackage> package_;
  bool units_indexed_ = false;
  std::vector<UnitRange> units_;               // by begin
  std::unordered_map<Dwarf_Off, Unit> known_;  // by offset of the unit
  std::string missing_split_file_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_DEBUG_INFO_H_
