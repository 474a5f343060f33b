// Packages of split debug information (PROGRAM.dwp, DWARF 5 section 7.3.5 and its predecessor for DWARF 4), which libdw
// reads only since 0.191.
#ifndef MEMTRACE_TOOLS_SYMBOLS_SPLIT_PACKAGE_H_
#define MEMTRACE_TOOLS_SYMBOLS_SPLIT_PACKAGE_H_

#include <elfutils/libdw.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/symbols/elf_file.h"

namespace memtrace::tools {

class SplitPackage {
 public:
  // nullptr if the file is not there or no package that we can read.
  static std::unique_ptr<SplitPackage> Open(const std::string& path);

  // The unit that belongs to a skeleton of the program `skeleton_file`, as if it had never been split; nothing if it is
  // not in here or damaged. Lives as long as the package.
  std::optional<Dwarf_Die> Find(Dwarf* skeleton_file, Dwarf_Die* skeleton, uint64_t unit_id);

 private:
  // What both versions have of the index's columns.
  enum Part { kInfo, kAbbrev, kLine, kStrOffsets, kRngLists, kParts };
  struct Slice {
    uint32_t offset = 0;
    uint32_t size = 0;
  };
  using Slices = std::array<Slice, kParts>;
  struct EndDwarf {
    void operator()(Dwarf* dwarf) const { dwarf_end(dwarf); }
  };
  // libdw reads `content` where it lies.
  struct Unit {
    std::string content;
    ElfHandle elf;
    std::unique_ptr<Dwarf, EndDwarf> dwarf;
  };

  bool ReadIndex();
  std::optional<Dwarf_Die> OpenImage(std::string image);
  std::string_view PartOf(const Slices& slices, Part part) const;
  // A unit's own strings, and its table of offsets into them.
  std::pair<std::string, std::string> Strings(std::string_view offsets, size_t header_bytes) const;

  std::optional<ElfFile> file_;
  ElfHandle elf_;
  std::array<std::string_view, kParts> sections_;
  std::string_view strings_;
  std::map<uint64_t, Slices> units_;  // by the id in the skeleton
  std::vector<std::unique_ptr<Unit>> opened_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_SPLIT_PACKAGE_H_
