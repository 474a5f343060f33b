// The sampling interval over time.
#ifndef MEMTRACE_CORE_RATE_H_
#define MEMTRACE_CORE_RATE_H_

#include <cstdint>

#include "libmemtrace/format/recording.h"

namespace memtrace::core {

// The interval that a process starts with: the user's, or a 2048th of the memory limit within 32 KiB and 2 MiB.
uint64_t InitialRate();

// From now on one sample per `rate_bytes` on average; gaps that threads have drawn before keep their rate. Returns
// false when all of Header::rates is used up or another thread is changing the rate.
bool ChangeRate(uint64_t rate_bytes, format::RateReason reason);

// Doubles the interval when the table has no room for many more than `entries`, and drops recorded blocks so that
// the rest stands as if it had been sampled with the new one.
void CheckTableRoom(uint64_t entries);

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_RATE_H_
