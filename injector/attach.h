// `memtrace attach` and `memtrace detach`: recording begins and ends in a process that goes on.
#ifndef MEMTRACE_INJECTOR_ATTACH_H_
#define MEMTRACE_INJECTOR_ATTACH_H_

#include <sys/types.h>

#include <chrono>
#include <string>

#include "injector/launch.h"

namespace memtrace::injector {

struct AttachOrder {
  pid_t pid = 0;      // as seen from here
  Settings settings;  // MEMTRACE_ variables; the others are as in the environment that the process was started with
  std::string library;
  std::chrono::milliseconds wait{500};  // for a safe point
};

struct AttachOutcome {
  bool done = false;
  std::string message;  // what was done, or why not and what to do
  std::string warning;  // what will not be seen; may be empty
};

AttachOutcome Attach(const AttachOrder& order);
// Ends the recording, also that of a preloaded library. The library stays in memory, unused.
AttachOutcome Detach(pid_t pid);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_ATTACH_H_
