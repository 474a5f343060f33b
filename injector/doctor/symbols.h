// What the symbols of an executable say about its memory: whether it brings an allocator of its own.
#ifndef MEMTRACE_INJECTOR_DOCTOR_SYMBOLS_H_
#define MEMTRACE_INJECTOR_DOCTOR_SYMBOLS_H_

#include <string>
#include <vector>

namespace memtrace::injector {

struct ProgramSymbols {
  bool readable = false;
  // The dynamic symbols define malloc: the loader finds it before that of any preloaded library.
  bool exports_malloc = false;
  // A function of an allocator that is linked in without being exported, which only the full symbol table tells. Empty:
  // none.
  std::string hidden_allocator;
  bool is_go = false;               // the heap of the Go runtime is mapped, not malloc'ed
  std::vector<std::string> needed;  // libraries, DT_NEEDED
};

// Input is hostile: sizes are bounded, offsets checked. Reads the symbol tables of a 64-bit program of this byte order.
ProgramSymbols ReadProgramSymbols(const std::string& path);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_DOCTOR_SYMBOLS_H_
