// deep_binding LIBRARY: loads a library with RTLD_DEEPBIND whose own needs are found by its $ORIGIN, lets it allocate,
// frees its blocks here, gives it blocks to free, and unloads it. Keeps 500 blocks of 300 bytes. Where the libc has no
// RTLD_DEEPBIND the library is loaded without.
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0
#endif

static void* volatile g_block;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
  if (library == NULL) return 3;
  void* (*make)(size_t);
  void (*release)(void*);
  void* symbol = dlsym(library, "MakeBlock");
  memcpy(&make, &symbol, sizeof(make));
  symbol = dlsym(library, "ReleaseBlock");
  memcpy(&release, &symbol, sizeof(release));
  if (make == NULL || release == NULL) return 4;
  for (int i = 0; i < 5000; ++i) {
    free(make(50 + (size_t)i % 50));
    release(malloc(60));
    free(realloc(make(40), 900));
  }
  for (int i = 0; i < 500; ++i) g_block = malloc(300);
  if (dlclose(library) != 0) return 5;
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 6;
}
