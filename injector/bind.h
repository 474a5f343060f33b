// Leads the calls of a running process to a library that was loaded late, and back.
//
// Three kinds of places are changed: the PLT and GOT entries and pointers in data that hold the address of a function
// that the library exports, in all loaded modules, also where they are read-only after relocation; and the symbols
// themselves, so that what is bound later, of modules that are loaded later too, comes to the library. A place that
// holds anything but the address that is expected is left alone.
#ifndef MEMTRACE_INJECTOR_BIND_H_
#define MEMTRACE_INJECTOR_BIND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "injector/load_library.h"
#include "injector/remote_modules.h"

namespace memtrace::injector {

struct Change {
  uint64_t address;
  uint64_t from;
  uint64_t to;
};

struct Binding {
  std::vector<Change> slots;
  std::vector<Change> symbols;
};

// What has to be changed. Reads much; the process may run meanwhile. `bound` says which way.
Binding PlanBinding(const ProcessMemory& memory, const LoadedModules& modules, const LibraryInTarget& library,
                    bool bound);

// Makes the changes. Requires: all threads are stopped, and the loader is not in the middle of anything. Returns how
// many slots were changed.
size_t ApplyBinding(const ProcessMemory& memory, const Binding& binding, const LibraryInTarget& library, bool bound);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_BIND_H_
