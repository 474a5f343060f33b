// busy THREADS [KIB]: writes "ready", then THREADS threads allocate and free without pause, each with 1,000 live blocks
// of KIB KiB in all, until standard input ends; then writes "done". With no threads it sits in read(2).
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/programs/tally.h"

enum { kBlocks = 1000 };
static atomic_int g_stop;
static atomic_int g_filled;
static size_t g_block_bytes = 100;

static void* Work(void* argument) {
  static _Thread_local void* blocks[kBlocks];
  uint64_t random = (uintptr_t)argument * 0x9e3779b97f4a7c15ULL + 1;
  for (unsigned i = 0; i < kBlocks; ++i) blocks[i] = malloc(g_block_bytes);
  atomic_fetch_add(&g_filled, 1);
  while (!atomic_load_explicit(&g_stop, memory_order_relaxed)) {
    void** block = &blocks[(NextRandom(&random) >> 33) % kBlocks];
    free(*block);
    *block = malloc(g_block_bytes);
    if (*block == NULL) _exit(10);
  }
  return NULL;
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 0;
  if (argc > 2) g_block_bytes = strtoul(argv[2], NULL, 10) * 1024 / kBlocks;
  pthread_t ids[64];
  if (threads > 64) return 2;
  for (long i = 0; i < threads; ++i) {
    if (pthread_create(&ids[i], NULL, Work, (void*)i) != 0) return 3;
  }
  while (atomic_load(&g_filled) < threads) usleep(1000);
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 4;
  char byte;
  ssize_t got;
  do {
    got = read(STDIN_FILENO, &byte, 1);
  } while (got > 0);
  if (got < 0) return 5;  // a signal of ours must not show as EINTR
  atomic_store(&g_stop, 1);
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 6;
}
