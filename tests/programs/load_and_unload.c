// load_and_unload THREADS ROUNDS A B: loads and unloads libraries A and B by turns, at addresses that the other just
// left, while THREADS threads allocate. Each round keeps the block that the library gives it.
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int g_stop;

static void* Churn(void* argument) {
  while (!atomic_load(&g_stop)) free(malloc(50));
  return argument;
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const int threads = atoi(argv[1]);
  pthread_t ids[16];
  for (int i = 0; i < threads && i < 16; ++i) {
    if (pthread_create(&ids[i], NULL, Churn, NULL) != 0) return 3;
  }
  for (int i = 0; i < atoi(argv[2]); ++i) {
    void* library = dlopen(argv[3 + i % 2], RTLD_NOW);
    if (library == NULL) return 4;
    void* symbol = dlsym(library, i % 2 == 0 ? "KeepOfA" : "KeepOfB");
    void* (*keep)(void);
    memcpy(&keep, &symbol, sizeof(keep));
    if (keep == NULL || keep() == NULL) return 5;
    if (dlclose(library) != 0) return 6;
  }
  atomic_store(&g_stop, 1);
  for (int i = 0; i < threads && i < 16; ++i) pthread_join(ids[i], NULL);
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 7;
}
