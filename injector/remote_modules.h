// The ELF modules that a process has loaded, as its loader lists them, read from its memory.
#ifndef MEMTRACE_INJECTOR_REMOTE_MODULES_H_
#define MEMTRACE_INJECTOR_REMOTE_MODULES_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "injector/process_memory.h"

namespace memtrace::injector {

struct RemoteSymbol {
  uint64_t address = 0;   // in the process
  uint64_t value_at = 0;  // where the symbol table keeps its value
};

class RemoteModule {
 public:
  // Reads the dynamic section at `dynamic`. Requires: `memory` outlives the module.
  RemoteModule(const ProcessMemory* memory, uint64_t bias, uint64_t dynamic);

  uint64_t bias() const { return bias_; }
  uint64_t dynamic() const { return dynamic_; }

  // The default version of a defined symbol.
  std::optional<RemoteSymbol> Find(std::string_view name) const;
  // All defined symbols.
  void ForEachSymbol(const std::function<void(const std::string&, RemoteSymbol)>& visit) const;
  // The places that the loader fills with the address of a symbol: PLT and GOT entries, and pointers in data.
  void ForEachSlot(const std::function<void(const std::string& symbol, uint64_t slot)>& visit) const;
  // The address of the descriptor of a note; 0 if there is none.
  uint64_t FindNote(std::string_view owner, uint32_t type) const;

 private:
  uint64_t At(uint64_t value) const { return value < bias_ ? value + bias_ : value; }
  std::string Name(uint32_t offset) const;
  bool IsDefault(uint64_t index) const;
  template <typename Visit>
  void ForEachDefinition(Visit visit) const;
  void VisitRelocations(uint64_t table, uint64_t bytes, uint64_t skip,
                        const std::function<void(const std::string&, uint64_t)>& visit) const;

  const ProcessMemory* memory_;
  uint64_t bias_;
  uint64_t dynamic_;
  uint64_t symbols_ = 0;
  uint64_t names_ = 0;
  uint64_t names_bytes_ = 0;
  uint64_t versions_ = 0;
  uint64_t gnu_hash_ = 0;
  uint64_t hash_ = 0;
  uint64_t relocations_ = 0, relocations_bytes_ = 0, relative_count_ = 0;
  uint64_t plt_relocations_ = 0, plt_relocations_bytes_ = 0;
};

struct LoadedModules {
  std::vector<RemoteModule> modules;  // in the order of symbol lookup
  bool consistent = false;            // the loader is not in the middle of adding or removing one
};
// Empty for a process without a dynamic loader, or before its loader has run.
LoadedModules ReadModules(const ProcessMemory& memory);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_REMOTE_MODULES_H_
