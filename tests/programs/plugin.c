// A library that keeps PLUGIN_BYTES from its constructor, and as many each time that it is asked to. Built twice, under
// two names.
#include <stdlib.h>

static void* g_block;
void* PLUGIN_FUNCTION(void);
__attribute__((noinline)) void* PLUGIN_FUNCTION(void) {
  void* block = malloc(PLUGIN_BYTES);
  *(volatile char*)block = 1;
  return block;
}
__attribute__((constructor)) static void Begin(void) { g_block = PLUGIN_FUNCTION(); }
__attribute__((destructor)) static void End(void) { free(g_block); }
