// The symbol tables of one ELF file, ordered by address.
#ifndef MEMTRACE_TOOLS_SYMBOLS_SYMBOL_INDEX_H_
#define MEMTRACE_TOOLS_SYMBOLS_SYMBOL_INDEX_H_

#include <elfutils/libdwfl.h>

#include <cstdint>
#include <vector>

namespace memtrace::tools {

// dwfl_module_addrinfo() looks at every symbol each time (libdwfl 0.188), which libLLVM's 60,000 make slow.
class SymbolIndex {
 public:
  // Of .symtab, .dynsym and .gnu_debugdata as far as libdwfl finds them. The module must outlive the index.
  explicit SymbolIndex(Dwfl_Module* module);

  // The name of the function at an address; nullptr if no symbol covers it. A symbol without a size (assembly) counts
  // for the bytes behind it, but not far.
  const char* Find(uint64_t address) const;

 private:
  struct Symbol {
    uint64_t begin;
    uint64_t size;
    const char* name;
    int rank;  // of several at one address the lowest is shown
  };
  std::vector<Symbol> symbols_;  // by begin, one for each
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_SYMBOL_INDEX_H_
