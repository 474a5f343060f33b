// An independent count of what a program allocates: what memtrace's totals are compared with.
#ifndef MEMTRACE_TESTS_PROGRAMS_TALLY_H_
#define MEMTRACE_TESTS_PROGRAMS_TALLY_H_

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

typedef struct {
  unsigned long long allocations, allocated_bytes, frees, freed_bytes;
  unsigned long long live_allocations, live_bytes, peak_live_bytes, peak_live_allocations, temporary_allocations;
} Tally;

static Tally g_tally;
static const void* g_latest;  // the latest allocation: temporary if it is freed next

static inline void TallyAllocation(const void* block, size_t size) {
  ++g_tally.allocations;
  g_tally.allocated_bytes += size;
  g_tally.live_bytes += size;
  ++g_tally.live_allocations;
  if (g_tally.live_bytes > g_tally.peak_live_bytes) g_tally.peak_live_bytes = g_tally.live_bytes;
  if (g_tally.live_allocations > g_tally.peak_live_allocations)
    g_tally.peak_live_allocations = g_tally.live_allocations;
  g_latest = block;
}

static inline void TallyFree(const void* block, size_t size) {
  ++g_tally.frees;
  g_tally.freed_bytes += size;
  g_tally.live_bytes -= size;
  --g_tally.live_allocations;
  if (g_latest == block) ++g_tally.temporary_allocations;
  if (g_latest == block) g_latest = NULL;
}

// One JSON object, under the names of memtrace-report. Uses no stream, which would allocate.
static inline void WriteTally(void) {
  char text[1024];
  const int size = snprintf(
      text, sizeof(text),
      "{\"allocations\": %llu, \"allocated_bytes\": %llu, \"frees\": %llu, \"freed_bytes\": %llu, "
      "\"live_allocations\": %llu, \"live_bytes\": %llu, \"peak_live_bytes\": %llu, "
      "\"peak_live_allocations\": %llu, \"temporary_allocations\": %llu}\n",
      g_tally.allocations, g_tally.allocated_bytes, g_tally.frees, g_tally.freed_bytes, g_tally.live_allocations,
      g_tally.live_bytes, g_tally.peak_live_bytes, g_tally.peak_live_allocations, g_tally.temporary_allocations);
  if (size <= 0 || write(STDOUT_FILENO, text, (size_t)size) != size) _exit(90);
}

// xorshift64* (Vigna 2016): the same sequence everywhere.
static inline uint64_t NextRandom(uint64_t* state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * 0x2545f4914f6cdd1dULL;
}

#endif  // MEMTRACE_TESTS_PROGRAMS_TALLY_H_
