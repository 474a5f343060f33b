// early_allocation: before any library has been initialised (DT_PREINIT_ARRAY) it allocates 20,000 blocks of 100 bytes,
// more than fits into any pool of fixed size, and calls dlsym. main reallocates, measures and frees them, half in
// another thread; 1,000 stay.
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kBlocks = 20000, kBytes = 100, kStay = 1000 };
static char* g_blocks[kBlocks];
static void* g_symbol;

static void Early(void) {
  for (int i = 0; i < kBlocks; ++i) {
    g_blocks[i] = i % 2 == 0 ? malloc(kBytes) : calloc(kBytes, 1);
    if (g_blocks[i] != NULL) memset(g_blocks[i], i % 100 + 1, kBytes);
  }
  g_symbol = dlsym(RTLD_DEFAULT, "getpid");
}
__attribute__((section(".preinit_array"), used)) static void (*const kEarly)(void) = Early;

static int IsIntact(const char* block, int value) {
  for (int i = 0; i < kBytes; ++i) {
    if (block[i] != value) return 0;
  }
  return 1;
}

// Every second block from `first` on.
static void* Release(void* first) {
  for (int i = kStay + (int)(size_t)first; i < kBlocks; i += 2) {
    if (malloc_usable_size(g_blocks[i]) < kBytes || !IsIntact(g_blocks[i], i % 100 + 1)) _exit(10);
    if (i % 3 == 0) {
      g_blocks[i] = realloc(g_blocks[i], 5000);
      if (g_blocks[i] == NULL || !IsIntact(g_blocks[i], i % 100 + 1)) _exit(11);
    }
    free(g_blocks[i]);
  }
  return NULL;
}

int main(void) {
  for (int i = 0; i < kBlocks; ++i) {
    if (g_blocks[i] == NULL) return 3;
  }
  pthread_t thread;
  if (g_symbol == NULL || pthread_create(&thread, NULL, Release, (void*)1) != 0) return 4;
  Release((void*)0);
  pthread_join(thread, NULL);
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 5;
}
