// handoff THREADS ROUNDS: threads give blocks to each other through shared slots. What one thread allocates another
// resizes or frees at once, and the allocator hands the address to a third. At the end some blocks are left; a count of
// its own is written.
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/programs/tally.h"

enum { kSlots = 256, kMaxThreads = 64, kKept = 100 };
static _Atomic(size_t*) g_slots[kSlots];  // a block begins with its own size
static unsigned long g_rounds;
static pthread_barrier_t g_barrier;
static Tally g_tallies[kMaxThreads];

static void Count(Tally* tally, size_t allocated, size_t freed) {
  tally->allocations += allocated != 0;
  tally->allocated_bytes += allocated;
  tally->frees += freed != 0;
  tally->freed_bytes += freed;
}

static void Round(Tally* tally, uint64_t* random) {
  const uint64_t draw = NextRandom(random);
  const size_t size = 16 + draw % 113;
  size_t* block = draw >> 60 == 0 ? calloc(1, size) : malloc(size);
  if (block == NULL) _exit(10);
  *block = size;
  Count(tally, size, 0);
  block = atomic_exchange(&g_slots[draw >> 20 & (kSlots - 1)], block);
  if (block == NULL) return;
  if (draw >> 56 < 32) {
    const size_t new_size = 16 + (draw >> 40) % 113;
    Count(tally, new_size, *block);
    block = realloc(block, new_size);
    *block = new_size;
  }
  Count(tally, 0, *block);
  free(block);
}

static void* Work(void* argument) {
  const size_t index = (size_t)argument;
  uint64_t random = (index + 1) * 0x9e3779b97f4a7c15ULL;
  pthread_barrier_wait(&g_barrier);
  for (unsigned long i = 0; i < g_rounds; ++i) Round(&g_tallies[index], &random);
  pthread_barrier_wait(&g_barrier);  // all live at once: a thread's own memory is never handed to the next
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const unsigned threads = (unsigned)strtoul(argv[1], NULL, 10);
  g_rounds = strtoul(argv[2], NULL, 10);
  if (threads == 0 || threads > kMaxThreads || pthread_barrier_init(&g_barrier, NULL, threads) != 0) return 3;
  pthread_t ids[kMaxThreads];
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  for (size_t i = 0; i < threads; ++i) {
    if (pthread_create(&ids[i], &attributes, Work, (void*)i) != 0) return 4;
  }
  for (size_t i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  for (size_t i = kKept; i < kSlots; ++i) {
    size_t* block = atomic_exchange(&g_slots[i], NULL);
    if (block == NULL) continue;
    Count(&g_tallies[0], 0, *block);
    free(block);
  }
  for (size_t i = 0; i < threads; ++i) {
    g_tally.allocations += g_tallies[i].allocations;
    g_tally.allocated_bytes += g_tallies[i].allocated_bytes;
    g_tally.frees += g_tallies[i].frees;
    g_tally.freed_bytes += g_tallies[i].freed_bytes;
  }
  g_tally.live_allocations = g_tally.allocations - g_tally.frees;
  g_tally.live_bytes = g_tally.allocated_bytes - g_tally.freed_bytes;
  WriteTally();
  return 0;
}
