/* Holds blocks and says what the process's memory is. Usage: hold BLOCKS SIZE
 * Prints the resident bytes of the process (all mappings, shared ones too) after the blocks are allocated and written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long long ResidentBytes(void) {
  unsigned long long total = 0, resident = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%llu %llu", &total, &resident) != 2) exit(1);
  fclose(file);
  return resident * (unsigned long long)sysconf(_SC_PAGESIZE);
}

int main(int argc, char** argv) {
  if (argc != 3) return fprintf(stderr, "usage: hold BLOCKS SIZE\n"), 2;
  const unsigned long long blocks = strtoull(argv[1], NULL, 10);
  const size_t size = strtoull(argv[2], NULL, 10);
  char** held = malloc(blocks * sizeof *held);
  for (unsigned long long i = 0; i < blocks; ++i) {
    held[i] = malloc(size);
    memset(held[i], 1, size);
  }
  printf("%llu\n", ResidentBytes());
  return 0;
}
