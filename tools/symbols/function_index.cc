#include "tools/symbols/function_index.h"

#include <dwarf.h>

#include <algorithm>
#include <cstddef>

namespace memtrace::tools {
namespace {

// Compilers nest far less; a damaged file may nest without end.
constexpr int kMaxDepth = 128;
// Where linkers put functions that they threw away: 0, or 1 (lld, for .debug_ranges). An ELF file begins with its
// header.
constexpr Dwarf_Addr kHighestTombstone = 1;

// Adds the functions that are inlined at `address` below `parent`, outermost first.
void DescendInlines(Dwarf_Die* parent, Dwarf_Addr address, int depth, std::vector<Dwarf_Die>* found) {
  Dwarf_Die child;
  if (depth > kMaxDepth || dwarf_child(parent, &child) != 0) return;
  do {
    const int tag = dwarf_tag(&child);
    if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block) continue;
    const int inside = dwarf_haspc(&child, address);  // negative: it has no addresses of its own
    if (inside == 0 || (inside < 0 && tag == DW_TAG_inlined_subroutine)) continue;
    const size_t before = found->size();
    if (tag == DW_TAG_inlined_subroutine) found->push_back(child);
    DescendInlines(&child, address, depth + 1, found);
    if (inside > 0 || found->size() > before) return;
  } while (dwarf_siblingof(&child, &child) == 0);
}

}  // namespace

FunctionIndex::FunctionIndex(Dwarf_Die* unit) {
  Collect(unit, kNoScope, 0);
  std::sort(functions_.begin(), functions_.end(),
            [](const Function& a, const Function& b) { return a.begin < b.begin; });
}

uint32_t FunctionIndex::Open(Dwarf_Die* die, uint32_t outer) {
  const int tag = dwarf_tag(die);
  if (tag != DW_TAG_namespace && tag != DW_TAG_class_type && tag != DW_TAG_structure_type) return outer;
  const char* name = dwarf_diename(die);
  scopes_.push_back({outer, name != nullptr ? name : "(anonymous namespace)"});
  return static_cast<uint32_t>(scopes_.size() - 1);
}

void FunctionIndex::Collect(Dwarf_Die* parent, uint32_t scope, int depth) {
  Dwarf_Die child;
  if (depth > kMaxDepth || dwarf_child(parent, &child) != 0) return;
  do {
    if (dwarf_tag(&child) == DW_TAG_subprogram) {
      scope_of_.emplace(dwarf_dieoffset(&child), scope);
      Dwarf_Addr base = 0;
      Dwarf_Addr begin = 0;
      Dwarf_Addr end = 0;
      for (ptrdiff_t next = 0; (next = dwarf_ranges(&child, next, &base, &begin, &end)) > 0;) {
        if (begin > kHighestTombstone) functions_.push_back({begin, end, child});
      }
    }
    if (dwarf_haschildren(&child) > 0) Collect(&child, Open(&child, scope), depth + 1);
  } while (dwarf_siblingof(&child, &child) == 0);
}

std::optional<std::string> FunctionIndex::ScopeOf(Dwarf_Die* function) const {
  const auto found = scope_of_.find(dwarf_dieoffset(function));
  if (found == scope_of_.end()) return std::nullopt;
  std::string text;
  for (uint32_t scope = found->second; scope != kNoScope; scope = scopes_[scope].outer) {
    text.insert(0, std::string(scopes_[scope].name) + "::");
  }
  return text;
}

std::vector<Dwarf_Die> FunctionIndex::Find(Dwarf_Addr address) const {
  std::vector<Dwarf_Die> found;
  const auto after = std::upper_bound(functions_.begin(), functions_.end(), address,
                                      [](Dwarf_Addr a, const Function& function) { return a < function.begin; });
  if (after == functions_.begin() || address >= (after - 1)->end) return found;
  found.push_back((after - 1)->die);
  DescendInlines(&found[0], address, 0, &found);
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace memtrace::tools
