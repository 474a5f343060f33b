/* Each function many times from one stack, a section of callgrind's output for each. The calls are made twice: what is done
 * once, such as reading unwind tables and growing tables, is not what a call costs. Usage: fast_path CALLS */
#include <pthread.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

static void Calls(long count, void** blocks) {
  CALLGRIND_ZERO_STATS;
  for (long i = 0; i < count; ++i) blocks[i] = malloc(64);
  CALLGRIND_DUMP_STATS_AT("malloc");
  for (long i = 0; i < count; ++i) blocks[i] = realloc(blocks[i], 72);
  CALLGRIND_DUMP_STATS_AT("realloc");
  for (long i = 0; i < count; ++i) free(blocks[i]);
  CALLGRIND_DUMP_STATS_AT("free");
  for (long i = 0; i < count; ++i) blocks[i] = calloc(4, 16);
  CALLGRIND_DUMP_STATS_AT("calloc");
  for (long i = 0; i < count; ++i) free(blocks[i]);
}

/* In a thread: the library takes the bounds of the main thread's stack from /proc, which speaks of valgrind's own. */
static void* Run(void* argument) {
  const long count = (long)argument;
  void** blocks = malloc((size_t)count * sizeof *blocks);
  for (int round = 0; round < 2; ++round) Calls(count, blocks);
  free(blocks);
  return NULL;
}

int main(int argc, char** argv) {
  pthread_t thread;
  if (argc != 2 || pthread_create(&thread, NULL, Run, (void*)strtol(argv[1], NULL, 10)) != 0) return 2;
  return pthread_join(thread, NULL);
}
