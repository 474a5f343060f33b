// How long the snapshot signal keeps its thread: BLOCKS live blocks of BYTES (100) bytes, all
// written to, then SIGUSR2 to itself ROUNDS times.
// Prints the milliseconds of each round, by the wall and by the thread's CPU time.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double Milliseconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int argc, char** argv) {
  const long blocks = argc > 1 ? atol(argv[1]) : 1000000;
  const int rounds = argc > 2 ? atoi(argv[2]) : 5;
  const size_t bytes = argc > 3 ? (size_t)atol(argv[3]) : 100;
  void** held = malloc((size_t)blocks * sizeof(void*));
  for (long i = 0; held != NULL && i < blocks; ++i) {
    held[i] = malloc(bytes);
    if (held[i] != NULL) memset(held[i], 1, bytes);
  }
  for (int i = 0; i < rounds; ++i) {
    const double wall = Milliseconds(CLOCK_MONOTONIC);
    const double cpu = Milliseconds(CLOCK_THREAD_CPUTIME_ID);
    kill(getpid(), SIGUSR2);  // handled before it returns: there is no other thread
    printf("%.1f %.1f\n", Milliseconds(CLOCK_MONOTONIC) - wall, Milliseconds(CLOCK_THREAD_CPUTIME_ID) - cpu);
  }
  for (long i = 0; held != NULL && i < blocks; ++i) free(held[i]);
  free(held);
  return 0;
}
