// Brings libmemtrace.so into a running process, and finds it there.
#ifndef MEMTRACE_INJECTOR_LOAD_LIBRARY_H_
#define MEMTRACE_INJECTOR_LOAD_LIBRARY_H_

#include <optional>
#include <string>

#include "injector/remote_modules.h"
#include "injector/remote_thread.h"
#include "libmemtrace/format/control.h"

namespace memtrace::injector {

struct LibraryInTarget {
  size_t module;     // index in the list that was searched
  uint64_t control;  // see format/control.h
  uint64_t block_at;
  format::ControlBlock block;  // as it was when it was found
};
std::optional<LibraryInTarget> FindLibraryIn(const ProcessMemory& memory, const LoadedModules& modules);

// Loads the file `library` through the process's own dlopen: from memory, or, where that is refused, from a file that
// is put into a directory of its root for the moment. `thread` is prepared and holds no lock of the loader.
Problem LoadLibrary(RemoteThread* thread, const LoadedModules& modules, const std::string& library);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_LOAD_LIBRARY_H_
