// The stack of a stopped thread, walked by libunwind over the memory of the process: no file that the process names is
// opened.
#ifndef MEMTRACE_INJECTOR_REMOTE_UNWIND_H_
#define MEMTRACE_INJECTOR_REMOTE_UNWIND_H_

#include <cstdint>
#include <vector>

#include "injector/tracer.h"

namespace memtrace::injector {

struct RemoteFrame {
  uint64_t pc;
  uint64_t function;  // where its function begins; 0 unknown
};

struct RemoteStack {
  std::vector<RemoteFrame> frames;  // from the innermost
  bool whole = false;               // up to the start of the thread
};

RemoteStack UnwindThread(const Tracer& tracer, pid_t thread, const std::vector<RemoteMapping>& mappings);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_REMOTE_UNWIND_H_
