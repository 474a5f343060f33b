#include "tools/symbols/module_symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

// Not from the running system: the module is given by its file.
int FindNoElf(Dwfl_Module*, void**, const char*, Dwarf_Addr, char**, Elf**) { return -1; }

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }  // NOLINT: libdw allocates with malloc
};

// "ns::Class::" for a function declared there.
std::string EnclosingScopes(Dwarf_Die* function) {
  Dwarf_Die* raw = nullptr;
  const int count = dwarf_getscopes_die(function, &raw);
  const std::unique_ptr<Dwarf_Die, FreeDeleter> scopes(count > 0 ? raw : nullptr);
  std::string text;
  for (int i = 1; i < count; ++i) {
    const int tag = dwarf_tag(scopes.get() + i);
    const bool names = tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type;
    if (!names) continue;
    const char* name = dwarf_diename(scopes.get() + i);
    text.insert(0, std::string(name != nullptr ? name : "(anonymous namespace)") + "::");
  }
  return text;
}

// The full name of a function or of an inlined copy of one. The linkage name, where there is one, knows
// the scope and the arguments; functions local to a file have none.
std::string FunctionName(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (const unsigned int name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    const char* linkage = dwarf_formstring(dwarf_attr_integrate(die, name, &attribute));
    if (linkage != nullptr) return Demangle(linkage);
  }
  Dwarf_Die origin = *die;
  for (int hops = 0; hops < 8; ++hops) {  // a damaged file may close the chain to a loop
    const bool refers = dwarf_attr(&origin, DW_AT_abstract_origin, &attribute) != nullptr ||
                        dwarf_attr(&origin, DW_AT_specification, &attribute) != nullptr;
    Dwarf_Die next;
    if (!refers || dwarf_formref_die(&attribute, &next) == nullptr) break;
    origin = next;
  }
  const char* plain = dwarf_diename(&origin);
  return plain != nullptr ? EnclosingScopes(&origin) + plain : "";
}

// Where an inlined function was called, which is the line of the function around it.
void CallSite(Dwarf_Die* unit, Dwarf_Die* inlined, SourceFrame* frame) {
  Dwarf_Attribute attribute;
  Dwarf_Word file = 0;
  Dwarf_Word line = 0;
  Dwarf_Files* files = nullptr;
  if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) == 0 &&
      dwarf_getsrcfiles(unit, &files, nullptr) == 0) {
    const char* name = dwarf_filesrc(files, file, nullptr, nullptr);
    if (name != nullptr) frame->file = name;
  }
  if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) == 0) {
    frame->line = static_cast<int>(line);
  }
}

}  // namespace

ModuleSymbols::ModuleSymbols(const std::string& file, const std::string& build_id, const std::string& debug_path)
    : debug_path_(debug_path), debug_path_pointer_(debug_path_.data()) {
  callbacks_.find_elf = FindNoElf;
  callbacks_.find_debuginfo = dwfl_standard_find_debuginfo;
  callbacks_.section_address = dwfl_offline_section_address;
  callbacks_.debuginfo_path = &debug_path_pointer_;
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    problem_ = fmt::format("no names for {}: {}", file, fd < 0 ? std::strerror(errno) : "not a regular file");
    if (fd >= 0) close(fd);
    return;
  }
  dwfl_.reset(dwfl_begin(&callbacks_));
  // Base 0 with add_p_vaddr: module addresses are the addresses in the ELF file. Owns fd on success.
  module_ = dwfl_ ? dwfl_report_elf(dwfl_.get(), file.c_str(), file.c_str(), fd, 0, true) : nullptr;
  if (module_ == nullptr) {
    close(fd);
    problem_ = fmt::format("no names for {}: {}", file, dwfl_errmsg(-1));
    return;
  }
  dwfl_report_end(dwfl_.get(), nullptr, nullptr);
  if (!CheckBuildId(file, build_id)) module_ = nullptr;
}

bool ModuleSymbols::CheckBuildId(const std::string& file, const std::string& build_id) {
  if (build_id.empty()) return true;
  const unsigned char* bits = nullptr;
  GElf_Addr address = 0;
  GElf_Addr bias = 0;
  dwfl_module_getelf(module_, &bias);  // build_id() looks only at a file that is open
  const int size = dwfl_module_build_id(module_, &bits, &address);
  const std::string found = size > 0 ? FormatHex({reinterpret_cast<const char*>(bits), static_cast<size_t>(size)}) : "";
  if (found == build_id) return true;
  problem_ = fmt::format(
      "no names for {}: it has build-id {}, the recorded program had {}; give the right files with --sysroot", file,
      found.empty() ? "none" : found, build_id);
  return false;
}

// clang writes no .debug_aranges, without which libdw 0.188 finds no unit: then we ask each unit
// for its ranges, once.
void ModuleSymbols::IndexUnits() {
  units_indexed_ = true;
  Dwarf_Addr bias = 0;
  for (Dwarf_Die* unit = nullptr; (unit = dwfl_module_nextcu(module_, unit, &bias)) != nullptr;) {
    Dwarf_Addr base = 0;
    Dwarf_Addr begin = 0;
    Dwarf_Addr end = 0;
    for (ptrdiff_t next = 0; (next = dwarf_ranges(unit, next, &base, &begin, &end)) > 0;) {
      units_.push_back({begin + bias, end + bias, *unit, bias});
    }
  }
  std::sort(units_.begin(), units_.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
}

Dwarf_Die* ModuleSymbols::FindUnit(Dwarf_Addr address, Dwarf_Addr* bias) {
  // libdwfl also gives a unit for addresses in the gap behind it.
  Dwarf_Die* unit_before = dwfl_module_addrdie(module_, address, bias);
  if (unit_before != nullptr && dwarf_haspc(unit_before, address - *bias) > 0) return unit_before;
  if (!units_indexed_) IndexUnits();
  auto range = std::upper_bound(units_.begin(), units_.end(), address,
                                [](Dwarf_Addr a, const UnitRange& unit) { return a < unit.begin; });
  if (range == units_.begin() || address >= (--range)->end) return nullptr;
  *bias = range->bias;
  return &range->unit;
}

std::vector<SourceFrame> ModuleSymbols::ResolveWithDebugInfo(Dwarf_Addr address) {
  std::vector<SourceFrame> frames;
  Dwarf_Addr bias = 0;
  Dwarf_Die* unit = FindUnit(address, &bias);
  if (unit == nullptr) return frames;

  SourceFrame frame;
  if (Dwarf_Line* line = dwarf_getsrc_die(unit, address - bias)) {
    const char* file = dwarf_linesrc(line, nullptr, nullptr);
    if (file != nullptr) frame.file = file;
    dwarf_lineno(line, &frame.line);
  }
  auto index = functions_.find(dwarf_dieoffset(unit));
  if (index == functions_.end()) index = functions_.emplace(dwarf_dieoffset(unit), FunctionIndex(unit)).first;
  for (Dwarf_Die& function : index->second.Find(address - bias)) {
    frame.function = FunctionName(&function);
    frame.inlined = dwarf_tag(&function) == DW_TAG_inlined_subroutine;
    frames.push_back(frame);
    frame = {};
    if (frames.back().inlined) CallSite(unit, &function, &frame);
  }
  if (frames.empty() && !frame.file.empty()) frames.push_back(frame);
  return frames;
}

std::vector<SourceFrame> ModuleSymbols::Resolve(uint64_t offset) {
  if (module_ == nullptr) return {};
  std::vector<SourceFrame> frames = ResolveWithDebugInfo(offset);
  if (!frames.empty() && !frames.back().function.empty()) return frames;
  GElf_Off distance = 0;
  GElf_Sym symbol{};
  const char* name = dwfl_module_addrinfo(module_, offset, &distance, &symbol, nullptr, nullptr, nullptr);
  // Without a size (or with one that ends earlier) the symbol is only the nearest below: a guess.
  const bool covers = name != nullptr && (symbol.st_size == 0 ? distance < 4096 : distance < symbol.st_size);
  if (!covers) return frames;
  if (frames.empty()) frames.emplace_back();
  frames.back().function = Demangle(name);
  return frames;
}

}  // namespace memtrace::tools
