// Finds a thread that holds neither the allocator's nor the loader's lock, so that it may load a library.
#ifndef MEMTRACE_INJECTOR_SAFE_POINT_H_
#define MEMTRACE_INJECTOR_SAFE_POINT_H_

#include <chrono>
#include <string>
#include <vector>

#include "injector/remote_modules.h"
#include "injector/tracer.h"

namespace memtrace::injector {

struct SafePoint {
  pid_t thread = 0;     // stopped, all others run; 0: none was found
  std::string message;  // why not, and what to do
};

// First waits up to `limit` for a thread that is about to call an allocation function from outside of libc and the
// loader; then looks for one whose whole stack shows that it is in neither. Requires: all threads run.
SafePoint FindSafePoint(Tracer* tracer, const LoadedModules& modules, std::chrono::milliseconds limit);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_SAFE_POINT_H_
