// What a process's anonymous mappings are for, as far as /proc/PID/maps and the recorded blocks show it.
#ifndef MEMTRACE_TOOLS_ANALYSIS_MAPPINGS_H_
#define MEMTRACE_TOOLS_ANALYSIS_MAPPINGS_H_

#include <cstdint>
#include <optional>

#include "tools/reader/profile.h"

namespace memtrace::tools {

// Address space of private, writable, anonymous mappings; how much of it is resident, maps does not say.
struct Mappings {
  uint64_t allocator_bytes = 0;          // the heap, and mappings in which recorded blocks live
  uint64_t stacks_bytes = 0;             // behind a guard page, as thread stacks are; without the main thread's
  uint64_t other_bytes = 0;              // managed heaps, mmap
  uint64_t pages_with_blocks_bytes = 0;  // of the allocator's pages, those that a recorded block touches
};

// Nothing if the recording carries no maps.
std::optional<Mappings> MeasureMappings(const Profile& profile);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_MAPPINGS_H_
