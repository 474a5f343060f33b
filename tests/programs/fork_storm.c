// fork_storm THREADS FORKS: forks while other threads allocate. Each child allocates and frees, some fork again, and
// all must end with the status that they were told.
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int g_stop;

static void* Churn(void* argument) {
  void* blocks[64] = {0};
  for (unsigned i = 0; !atomic_load(&g_stop); ++i) {
    free(blocks[i % 64]);
    blocks[i % 64] = malloc(16 + i % 500);
  }
  return argument;
}

static int Child(int number) {
  for (int i = 0; i < 100; ++i) free(malloc(10 + (size_t)i));
  if (number % 10 == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) _exit(malloc(10) != NULL ? 3 : 1);
    int status = 0;
    if (waitpid(grandchild, &status, 0) != grandchild || WEXITSTATUS(status) != 3) return 1;
  }
  return malloc(20) != NULL ? number % 100 : 1;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int threads = atoi(argv[1]);
  pthread_t ids[16];
  for (int i = 0; i < threads && i < 16; ++i) {
    if (pthread_create(&ids[i], NULL, Churn, NULL) != 0) return 3;
  }
  for (int i = 0; i < atoi(argv[2]); ++i) {
    const pid_t child = fork();
    if (child < 0) return 4;
    if (child == 0) _exit(Child(i));
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != i % 100) return 5;
  }
  atomic_store(&g_stop, 1);
  for (int i = 0; i < threads && i < 16; ++i)
    pthread_join(ids[i], NULL);  // a thread cut short has counted half of its work
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 6;
}
