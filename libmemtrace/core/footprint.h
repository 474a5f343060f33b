// What memory the process and the library in it hold.
#ifndef MEMTRACE_CORE_FOOTPRINT_H_
#define MEMTRACE_CORE_FOOTPRINT_H_

#include <cstdint>

namespace memtrace::core {

// Private memory of the library, outside of the recording: statically allocated, and what it has mapped since.
uint64_t OwnBytes();

// Anonymous memory of the process that is resident; kUnknown without /proc.
uint64_t ResidentAnonymousBytes();

// Whether the process ever held enough to keep its recording. Two samples may look like a megabyte where there is a
// tenth of it, so what few samples say is checked.
bool HeldMuch();

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_FOOTPRINT_H_
