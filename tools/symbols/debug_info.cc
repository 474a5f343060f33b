#include "tools/symbols/debug_info.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "tools/symbols/demangle.h"

namespace memtrace::tools {
namespace {

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }  // NOLINT: libdw allocates with malloc
};

// "ns::Class::" for a function of another unit that is declared there. Slow.
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
std::string FunctionName(Dwarf_Die* die, const FunctionIndex& unit) {
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
  if (plain == nullptr) return "";
  const std::optional<std::string> scope = unit.ScopeOf(&origin);
  return (scope ? *scope : EnclosingScopes(&origin)) + plain;
}

// Where an inlined function was called, which is the line of the function around it.
void CallSite(Dwarf_Die* unit, Dwarf_Die* skeleton, Dwarf_Die* inlined, SourceFrame* frame) {
  Dwarf_Attribute attribute;
  Dwarf_Word file = 0;
  Dwarf_Word line = 0;
  Dwarf_Files* files = nullptr;
  if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) == 0 &&
      (dwarf_getsrcfiles(unit, &files, nullptr) == 0 || dwarf_getsrcfiles(skeleton, &files, nullptr) == 0)) {
    const char* name = dwarf_filesrc(files, file, nullptr, nullptr);
    if (name != nullptr) frame->file = name;
  }
  if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) == 0) {
    frame->line = static_cast<int>(line);
  }
}

}  // namespace

// Not from .debug_aranges, which clang does not write, and which cannot tell the gap behind a unit (libdw 0.188).
void DebugInfo::IndexUnits() {
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

Dwarf_Die* DebugInfo::FindUnit(Dwarf_Addr address, Dwarf_Addr* bias) {
  if (!units_indexed_) IndexUnits();
  auto range = std::upper_bound(units_.begin(), units_.end(), address,
                                [](Dwarf_Addr a, const UnitRange& unit) { return a < unit.begin; });
  if (range == units_.begin() || address >= (--range)->end) return nullptr;
  *bias = range->bias;
  return &range->unit;
}

// With -gsplit-dwarf the program has a skeleton of a unit: addresses and lines, no functions.
void DebugInfo::FindSplitPart(Dwarf_Die* skeleton, Dwarf_Die* details) {
  Dwarf_Die split{};
  uint8_t type = 0;
  uint64_t id = 0;
  if (dwarf_cu_info(skeleton->cu, nullptr, &type, nullptr, &split, &id, nullptr, nullptr) != 0 ||
      type != DW_UT_skeleton) {
    return;
  }
  if (split.cu != nullptr) {
    *details = split;
    return;
  }
  if (package_ != nullptr) {
    Dwarf* program = dwarf_cu_getdwarf(skeleton->cu);
    if (const std::optional<Dwarf_Die> packed = package_->Find(program, skeleton, id)) {
      *details = *packed;
      return;
    }
  }
  if (!missing_split_file_.empty()) return;
  Dwarf_Attribute attribute;
  const char* name = nullptr;
  for (const unsigned int which : {DW_AT_dwo_name, DW_AT_GNU_dwo_name}) {
    if (name == nullptr) name = dwarf_formstring(dwarf_attr(skeleton, which, &attribute));
  }
  missing_split_file_ = name != nullptr ? name : "a .dwo file";
}

DebugInfo::Unit& DebugInfo::Details(Dwarf_Die* unit) {
  const Dwarf_Off offset = dwarf_dieoffset(unit);
  if (const auto found = known_.find(offset); found != known_.end()) return found->second;
  Dwarf_Die details = *unit;
  FindSplitPart(unit, &details);
  return known_.emplace(offset, Unit{details, FunctionIndex(&details)}).first->second;
}

std::vector<SourceFrame> DebugInfo::Resolve(Dwarf_Addr address) {
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
  Unit& known = Details(unit);
  for (Dwarf_Die& function : known.functions.Find(address - bias)) {
    frame.function = FunctionName(&function, known.functions);
    frame.inlined = dwarf_tag(&function) == DW_TAG_inlined_subroutine;
    frames.push_back(frame);
    frame = {};
    if (frames.back().inlined) CallSite(&known.details, unit, &function, &frame);
  }
  if (frames.empty() && !frame.file.empty()) frames.push_back(frame);
  return frames;
}

}  // namespace memtrace::tools
