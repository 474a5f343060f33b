// Which function of a compilation unit an address lies in, and what was inlined there.
#ifndef MEMTRACE_TOOLS_SYMBOLS_FUNCTION_INDEX_H_
#define MEMTRACE_TOOLS_SYMBOLS_FUNCTION_INDEX_H_

#include <elfutils/libdw.h>

#include <vector>

namespace memtrace::tools {

// dwarf_getscopes() walks the whole unit each time, and (libdw 0.188) does not look into entries without
// addresses of their own: clang puts functions into such namespaces. So each unit is walked once.
class FunctionIndex {
 public:
  explicit FunctionIndex(Dwarf_Die* unit);

  // The functions at an address of the unit, innermost first: inlined ones, then the one with code of its own. Empty if
  // there is none.
  std::vector<Dwarf_Die> Find(Dwarf_Addr address) const;

 private:
  struct Function {
    Dwarf_Addr begin;
    Dwarf_Addr end;
    Dwarf_Die die;
  };
  void Collect(Dwarf_Die* parent, int depth);

  std::vector<Function> functions_;  // by begin
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_FUNCTION_INDEX_H_
