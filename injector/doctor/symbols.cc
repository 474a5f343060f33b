#include "injector/doctor/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "injector/descriptor.h"

namespace memtrace::injector {
namespace {

constexpr uint64_t kMostTableBytes = 256 << 20;  // chromium's symbol table has 100 MiB
constexpr unsigned kMostSections = 65536;

// Functions that only the named allocator has.
constexpr std::string_view kAllocatorFunctions[] = {"je_malloc",    "tc_malloc", "mi_malloc",      "rpmalloc",
                                                    "scudo_malloc", "snmalloc",  "je_arena_ralloc"};

class Executable {
 public:
  explicit Executable(const std::string& path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}

  // Empty unless all of it is there.
  template <typename Record>
  std::vector<Record> Read(uint64_t offset, uint64_t count) const {
    std::vector<Record> records;
    if (count > kMostTableBytes / sizeof(Record) || offset > uint64_t{1} << 62) return records;
    records.resize(count);
    uint64_t done = 0;
    while (done < count * sizeof(Record)) {
      const ssize_t n = pread(file_.get(), reinterpret_cast<char*>(records.data()) + done,
                              count * sizeof(Record) - done, static_cast<off_t>(offset + done));
      if (n <= 0) return {};
      done += static_cast<uint64_t>(n);
    }
    return records;
  }
  template <typename Record>
  std::vector<Record> Read(const Elf64_Shdr& section) const {
    return Read<Record>(section.sh_offset, section.sh_size / sizeof(Record));
  }

 private:
  Descriptor file_;
};

std::string_view NameAt(const std::vector<char>& strings, uint64_t offset) {
  if (offset >= strings.size()) return {};
  const char* name = strings.data() + offset;
  return {name, strnlen(name, strings.size() - offset)};
}

void LookAtSymbols(const std::vector<Elf64_Sym>& symbols, const std::vector<char>& strings, bool dynamic,
                   ProgramSymbols* result) {
  for (const Elf64_Sym& symbol : symbols) {
    if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol.st_info) != STT_FUNC) continue;
    const std::string_view name = NameAt(strings, symbol.st_name);
    if (dynamic && name == "malloc") result->exports_malloc = true;
    if (name == "runtime.mallocgc") result->is_go = true;
    const bool allocates = (!dynamic && name == "malloc") ||
                           std::find(std::begin(kAllocatorFunctions), std::end(kAllocatorFunctions), name) !=
                               std::end(kAllocatorFunctions);
    if (allocates && result->hidden_allocator.empty()) result->hidden_allocator = name;
  }
}

void LookAtNeeded(const std::vector<Elf64_Dyn>& entries, const std::vector<char>& strings, ProgramSymbols* result) {
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_NULL) return;
    if (entry.d_tag == DT_NEEDED) result->needed.emplace_back(NameAt(strings, entry.d_un.d_val));
  }
}

}  // namespace

ProgramSymbols ReadProgramSymbols(const std::string& path) {
  ProgramSymbols result;
  const Executable file(path);
  const auto header = file.Read<Elf64_Ehdr>(0, 1);
  if (header.empty() || memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0 || header[0].e_ident[EI_CLASS] != ELFCLASS64 ||
      header[0].e_shentsize != sizeof(Elf64_Shdr)) {
    return result;
  }
  const auto sections = file.Read<Elf64_Shdr>(header[0].e_shoff, std::min<uint64_t>(header[0].e_shnum, kMostSections));
  result.readable = !sections.empty();
  const bool has_names = header[0].e_shstrndx < sections.size();
  const auto names = has_names ? file.Read<char>(sections[header[0].e_shstrndx]) : std::vector<char>();
  for (const Elf64_Shdr& section : sections) {
    result.is_go |= NameAt(names, section.sh_name) == ".go.buildinfo";
    const bool symbols = section.sh_type == SHT_DYNSYM || section.sh_type == SHT_SYMTAB;
    if ((!symbols && section.sh_type != SHT_DYNAMIC) || section.sh_link >= sections.size()) continue;
    const auto strings = file.Read<char>(sections[section.sh_link]);
    if (symbols) {
      LookAtSymbols(file.Read<Elf64_Sym>(section), strings, section.sh_type == SHT_DYNSYM, &result);
    } else {
      LookAtNeeded(file.Read<Elf64_Dyn>(section), strings, &result);
    }
  }
  return result;
}

}  // namespace memtrace::injector
