// busy THREADS [KIB]: writes "ready", then THREADS threads allocate and free without pause, each with 1,000 live blocks
// of KIB KiB in all, until standard input ends; then writes "done". With no threads it sits in read(2). For each line it
// writes how many pairs of free and malloc there have been.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/programs/tally.h"

enum { kBlocks = 1000 };
static atomic_int g_stop;
static atomic_int g_filled;
static size_t g_block_bytes = 100;
enum { kMostThreads = 64 };
static struct {
  _Alignas(64) atomic_ulong pairs;
} g_count[kMostThreads];

static void* Work(void* argument) {
  static _Thread_local void* blocks[kBlocks];
  uint64_t random = (uintptr_t)argument * 0x9e3779b97f4a7c15ULL + 1;
  for (unsigned i = 0; i < kBlocks; ++i) blocks[i] = malloc(g_block_bytes);
  atomic_fetch_add(&g_filled, 1);
  for (unsigned long pairs = 1; !atomic_load_explicit(&g_stop, memory_order_relaxed); ++pairs) {
    void** block = &blocks[(NextRandom(&random) >> 33) % kBlocks];
    free(*block);
    *block = malloc(g_block_bytes);
    if (*block == NULL) _exit(10);
    atomic_store_explicit(&g_count[(uintptr_t)argument].pairs, pairs, memory_order_relaxed);
  }
  return NULL;
}

static void PrintPairs(void) {
  unsigned long pairs = 0;
  for (int i = 0; i < kMostThreads; ++i) pairs += atomic_load_explicit(&g_count[i].pairs, memory_order_relaxed);
  char text[32];
  const int size = snprintf(text, sizeof text, "%lu\n", pairs);
  if (write(STDOUT_FILENO, text, (size_t)size) != size) _exit(11);
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 0;
  if (argc > 2) g_block_bytes = strtoul(argv[2], NULL, 10) * 1024 / kBlocks;
  pthread_t ids[kMostThreads];
  if (threads > kMostThreads) return 2;
  for (long i = 0; i < threads; ++i) {
    if (pthread_create(&ids[i], NULL, Work, (void*)i) != 0) return 3;
  }
  while (atomic_load(&g_filled) < threads) usleep(1000);
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 4;
  char byte;
  ssize_t got;
  do {
    got = read(STDIN_FILENO, &byte, 1);
    if (got > 0 && byte == '\n') PrintPairs();
  } while (got > 0);
  if (got < 0) return 5;  // a signal of ours must not show as EINTR
  atomic_store(&g_stop, 1);
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 6;
}
