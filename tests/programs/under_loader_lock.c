// under_loader_lock WHAT: inside a callback of dl_iterate_phdr, where the loader's lock is held, this thread allocates
// while four others allocate, deep in recursion and for the first time; then WHAT: `return` leaves the callback and
// main, `exit` calls exit in it, `_exit` ends in it. Keeps 1,000 blocks of 100 bytes.
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int g_allocated;
static atomic_int g_stop;
static void* volatile g_block;
static const char* g_what;

__attribute__((noinline)) static int Deep(int depth) {
  if (depth > 0) return Deep(depth - 1) + 1;
  free(malloc(33));
  return 0;
}

static void* Churn(void* argument) {
  for (int i = 0; !atomic_load(&g_stop); ++i) {
    Deep(i % 60);
    atomic_fetch_add(&g_allocated, 1);
  }
  return argument;
}

static int OnModule(struct dl_phdr_info* info, size_t size, void* data) {
  (void)info;
  (void)size;
  pthread_t* threads = data;
  for (int i = 0; i < 4; ++i) {
    if (pthread_create(&threads[i], NULL, Churn, NULL) != 0) _exit(3);
  }
  // The others make progress although this thread sits on the loader's lock.
  while (atomic_load(&g_allocated) < 1000) usleep(1000);
  for (int i = 0; i < 1000; ++i) g_block = malloc(100);
  if (strcmp(g_what, "exit") == 0) exit(5);
  if (strcmp(g_what, "_exit") == 0) _exit(5);
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  g_what = argv[1];
  pthread_t threads[4];
  if (dl_iterate_phdr(OnModule, threads) != 1) return 4;
  atomic_store(&g_stop, 1);
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  return 5;
}
