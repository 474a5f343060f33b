// thread_locals_of_libraries THREADS ROUNDS LIBRARY: in each round threads load the library, touch its thread-local
// variables, unload it, and end.
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void* Use(void* path) {
  void* library = dlopen(path, RTLD_NOW);
  if (library == NULL) _exit(10);
  void* symbol = dlsym(library, "TouchThreadLocals");
  void (*touch)(void);
  memcpy(&touch, &symbol, sizeof(touch));
  if (touch == NULL) _exit(11);
  touch();
  if (dlclose(library) != 0) _exit(12);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int threads = atoi(argv[1]);
  pthread_t ids[16];
  if (threads > 16) return 3;
  for (int round = 0; round < atoi(argv[2]); ++round) {
    for (int i = 0; i < threads; ++i) {
      if (pthread_create(&ids[i], NULL, Use, argv[3]) != 0) return 4;
    }
    for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  }
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 5;
}
