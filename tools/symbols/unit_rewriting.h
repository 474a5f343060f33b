// Makes a unit of split debug information one that stands alone.
#ifndef MEMTRACE_TOOLS_SYMBOLS_UNIT_REWRITING_H_
#define MEMTRACE_TOOLS_SYMBOLS_UNIT_REWRITING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace memtrace::tools {

struct UnitText {
  std::string info;
  std::string abbreviations;
};

// A split unit says neither where its code begins nor where its list of files is; its skeleton does. Both are put into
// the eight bytes that the id takes: as entry `low_pc_index` of the address table, and offset 0 of the line table. No
// offset inside of the unit changes. Units of DWARF 4 and 5 with 32-bit offsets; nothing for any other.
std::optional<UnitText> StandAlone(std::string_view info, std::string_view abbreviations, uint32_t low_pc_index);

// An ELF file of this machine's kind with sections of these names and contents.
std::string ElfImage(const std::vector<std::pair<std::string, std::string_view>>& sections);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_UNIT_REWRITING_H_
