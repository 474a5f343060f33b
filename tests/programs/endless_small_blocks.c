// Allocates 200-byte blocks and writes to each, without end: the limit of its cgroup kills it.
#include <stdlib.h>
#include <string.h>

int main(void) {
  for (;;) {
    char* block = malloc(200);
    if (block != NULL) memset(block, 1, 200);
  }
}
