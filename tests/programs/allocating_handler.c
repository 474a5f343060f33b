// allocating_handler SIGNALS: allocates and frees in a loop, and in the handler of a fast timer, until the
// handler has run SIGNALS times; each time it frees the block of the time before. Needs a malloc that is safe in
// handlers: bump_malloc. Writes a count of what the loop did.
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#include "tests/programs/tally.h"

static volatile sig_atomic_t g_left;
static void* g_block;

static void OnTimer(int number) {
  (void)number;
  if (g_left == 0) return;
  --g_left;
  free(g_block);
  g_block = malloc(10 + (size_t)g_left % 90);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  g_left = atoi(argv[1]);
  signal(SIGALRM, OnTimer);
  const struct itimerval tick = {.it_interval = {.tv_usec = 200}, .it_value = {.tv_usec = 200}};
  if (g_left > 0 && setitimer(ITIMER_REAL, &tick, NULL) != 0) return 3;
  while (g_left > 0) {
    void* block = malloc(48);
    TallyAllocation(block, 48);
    free(block);
    TallyFree(block, 48);
  }
  signal(SIGALRM, SIG_IGN);
  WriteTally();
  return 0;
}
