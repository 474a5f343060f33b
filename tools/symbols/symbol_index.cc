#include "tools/symbols/symbol_index.h"

#include <algorithm>
#include <cstring>

namespace memtrace::tools {
namespace {

// How far a symbol without a size may be below the address: beyond, it is a guess.
constexpr uint64_t kReachWithoutSize = 4096;
// Symbols inside of another function's are local labels; more of them in a row are not looked through.
constexpr int kMostNested = 32;

bool MayBeFunction(const GElf_Sym& symbol, GElf_Word section, const char* name) {
  if (name == nullptr || *name == '\0' || section == SHN_UNDEF) return false;
  const int type = GELF_ST_TYPE(symbol.st_info);
  if (type == STT_FUNC || type == STT_GNU_IFUNC) return true;
  // Hand-written assembly; but "$x" and "$d" only say to ARM disassemblers what follows.
  return type == STT_NOTYPE && section != SHN_ABS && *name != '$';
}

// What other files call a function by comes first, and of aliases the one with fewer underscores.
int Rank(const GElf_Sym& symbol, const char* name) {
  const int binding = GELF_ST_BIND(symbol.st_info);
  const int by_binding = binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2;
  const int by_type = GELF_ST_TYPE(symbol.st_info) == STT_NOTYPE ? 1 : 0;
  const auto underscores = static_cast<int>(std::min<size_t>(std::strspn(name, "_"), 9));
  return (by_type * 3 + by_binding) * 10 + underscores;
}

}  // namespace

SymbolIndex::SymbolIndex(Dwfl_Module* module) {
  const int count = dwfl_module_getsymtab(module);
  symbols_.reserve(static_cast<size_t>(std::max(count, 0)));
  for (int i = 1; i < count; ++i) {
    GElf_Sym symbol{};
    GElf_Addr address = 0;
    GElf_Word section = SHN_UNDEF;
    const char* name = dwfl_module_getsym_info(module, i, &symbol, &address, &section, nullptr, nullptr);
    if (MayBeFunction(symbol, section, name)) symbols_.push_back({address, symbol.st_size, name, Rank(symbol, name)});
  }
  std::sort(symbols_.begin(), symbols_.end(), [](const Symbol& a, const Symbol& b) {
    if (a.begin != b.begin) return a.begin < b.begin;
    if ((a.size == 0) != (b.size == 0)) return b.size == 0;
    return a.rank != b.rank ? a.rank < b.rank : std::strcmp(a.name, b.name) < 0;
  });
  const auto same = [](const Symbol& a, const Symbol& b) { return a.begin == b.begin; };
  symbols_.erase(std::unique(symbols_.begin(), symbols_.end(), same), symbols_.end());
  symbols_.shrink_to_fit();
}

const char* SymbolIndex::Find(uint64_t address) const {
  auto symbol = std::upper_bound(symbols_.begin(), symbols_.end(), address,
                                 [](uint64_t a, const Symbol& candidate) { return a < candidate.begin; });
  const char* nearest = nullptr;
  bool behind_another = false;
  for (int i = 0; i < kMostNested && symbol != symbols_.begin(); ++i) {
    --symbol;
    const uint64_t distance = address - symbol->begin;
    if (distance < symbol->size) return symbol->name;
    if (symbol->size == 0 && nearest == nullptr && !behind_another && distance < kReachWithoutSize) {
      nearest = symbol->name;
    }
    behind_another = behind_another || symbol->size > 0;
  }
  return nearest;
}

}  // namespace memtrace::tools
