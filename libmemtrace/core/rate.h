// The sampling interval over time.
#ifndef MEMTRACE_CORE_RATE_H_
#define MEMTRACE_CORE_RATE_H_

#include <cstdint>

#include "libmemtrace/format/recording.h"

namespace memtrace::core {

// The interval that a process starts with: the user's, or every allocation.
uint64_t InitialRate();
// Beyond this the budget does not count any more: 256 samples at the memory limit.
uint64_t CoarsestRate();

// From now on one sample per `rate_bytes` on average; gaps that threads have drawn before keep their rate. An interval
// that was in force before keeps its place in Header::rates. Returns false when all of that is used up or another
// thread is changing the rate.
bool ChangeRate(uint64_t rate_bytes, format::RateReason reason);

// For the budget. Multiplies the interval by `factor` or more, or divides it by `factor` or less, in powers of two;
// exact recording is left for a multiple of the mean allocation. Return false where there is nothing to change or no
// room.
bool Coarsen(uint64_t factor);
bool Refine(uint64_t factor);

// Doubles the interval when the table has no room for many more than `entries`, and drops recorded blocks so that
// the rest stands as if it had been sampled with the new one.
void CheckTableRoom(uint64_t entries);

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_RATE_H_
