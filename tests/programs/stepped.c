// stepped: keeps 200 blocks of 120 bytes, stops at a breakpoint, then allocates, reallocates and frees on stacks and of
// sizes that are new, so that the tables of a recording grow; stops again.
#include <signal.h>
#include <stdlib.h>

static void* g_blocks[200];
static void* volatile g_other;

__attribute__((noinline)) static void* Fresh(size_t size) {
  void* volatile block = malloc(size);
  return block;
}

int main(void) {
  for (int i = 0; i < 200; ++i) g_blocks[i] = malloc(120);
  raise(SIGTRAP);
  g_other = Fresh(3000);
  g_other = realloc(g_other, 5000);
  free(g_other);
  g_other = calloc(1, 77);
  for (int i = 0; i < 4; ++i) free(Fresh(64));
  raise(SIGTRAP);
  return 0;
}
