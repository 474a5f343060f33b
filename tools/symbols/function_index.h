// Which function of a compilation unit an address lies in, and what was inlined there.
#ifndef MEMTRACE_TOOLS_SYMBOLS_FUNCTION_INDEX_H_
#define MEMTRACE_TOOLS_SYMBOLS_FUNCTION_INDEX_H_

#include <elfutils/libdw.h>

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace memtrace::tools {

// dwarf_getscopes() walks the whole unit each time, and (libdw 0.188) does not look into entries without
// addresses of their own: clang puts functions into such namespaces; dwarf_getscopes_die() walks it for each name. So
// each unit is walked once.
class FunctionIndex {
 public:
  explicit FunctionIndex(Dwarf_Die* unit);

  // The functions at an address of the unit, innermost first: inlined ones, then the one with code of its own. Empty if
  // there is none.
  std::vector<Dwarf_Die> Find(Dwarf_Addr address) const;

  // "ns::Class::" for a function, or a declaration of one, that stands there; nothing if it is none of this unit.
  std::optional<std::string> ScopeOf(Dwarf_Die* function) const;

 private:
  struct Function {
    Dwarf_Addr begin;
    Dwarf_Addr end;
    Dwarf_Die die;
  };
  struct Scope {
    uint32_t outer;
    const char* name;
  };
  static constexpr uint32_t kNoScope = 0xffffffff;
  void Collect(Dwarf_Die* parent, uint32_t scope, int depth);
  // The scope that `die` opens inside of `outer`, which it is if `die` names none.
  uint32_t Open(Dwarf_Die* die, uint32_t outer);

  std::vector<Function> functions_;  // by begin
  std::vector<Scope> scopes_;
  std::unordered_map<Dwarf_Off, uint32_t> scope_of_;  // of functions, by offset
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_FUNCTION_INDEX_H_
