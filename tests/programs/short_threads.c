// short_threads COUNT AT_ONCE: threads that live for about a millisecond; each frees all but one of ten blocks of 32
// bytes.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void* Work(void* argument) {
  void* blocks[10];
  for (int i = 0; i < 10; ++i) blocks[i] = malloc(32);
  usleep(500);
  for (int i = 1; i < 10; ++i) free(blocks[i]);
  return argument;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int count = atoi(argv[1]);
  const int at_once = atoi(argv[2]);
  pthread_t threads[64];
  if (at_once > 64) return 3;
  for (int done = 0; done < count; done += at_once) {
    for (int i = 0; i < at_once; ++i) {
      if (pthread_create(&threads[i], NULL, Work, NULL) != 0) return 4;
    }
    for (int i = 0; i < at_once; ++i) pthread_join(threads[i], NULL);
  }
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 5;
}
