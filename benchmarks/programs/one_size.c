/* malloc(64) and free in a loop. Usage: one_size PAIRS [PAIRS...]: prints the CPU nanoseconds per pair of each round. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char** argv) {
  for (int round = 1; round < argc; ++round) {
    const unsigned long long pairs = strtoull(argv[round], NULL, 10);
    const double start = Now();
    for (unsigned long long i = 0; i < pairs; ++i) {
      void* volatile block = malloc(64);
      free(block);
    }
    printf("%.2f\n", (Now() - start) / (double)pairs);
  }
  return 0;
}
