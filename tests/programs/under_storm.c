// under_storm WHAT SECONDS [LIBRARY]: writes "ready", does WHAT without pause for SECONDS while somebody sends it
// signals, and writes "done". WHAT: malloc; fork (children that allocate and exit, by turns in each way); dlopen
// (LIBRARY); small (threads with stacks of 16 KiB); alternate (a handler of its own for SIGUSR2 on an alternate stack
// of 16 KiB); blocked (threads that block every signal).
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static time_t g_end;
static const char* g_library;
static atomic_int g_calls;

static int GoesOn(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec < g_end;
}

static void Churn(void) {
  void* blocks[64] = {0};
  for (unsigned i = 0; i < 2000; ++i) {
    free(blocks[i % 64]);
    blocks[i % 64] = malloc(16 + i % 500);
  }
  for (unsigned i = 0; i < 64; ++i) free(blocks[i]);
}

static void* ChurnInThread(void* argument) {
  while (GoesOn()) Churn();
  return argument;
}

static void* ChurnOnce(void* argument) {
  for (int i = 0; i < 200; ++i) free(malloc(100));
  return argument;
}

static void Fork(void) {
  static int number;
  ++number;
  const pid_t child = fork();
  if (child < 0) _exit(20);
  if (child == 0) {
    ChurnOnce(NULL);
    if (number % 3 == 0) _exit(7);
    if (number % 3 == 1) quick_exit(7);
    exit(7);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7) _exit(21);
}

static void Load(void) {
  void* library = dlopen(g_library, RTLD_NOW);
  if (library == NULL || dlclose(library) != 0) _exit(22);
}

static void SmallThreads(void) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstacksize(&attributes, 16384) != 0) _exit(23);
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) {
    if (pthread_create(&threads[i], &attributes, ChurnOnce, NULL) != 0) _exit(24);
  }
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  pthread_attr_destroy(&attributes);
}

static void OnSignal(int number) {
  (void)number;
  atomic_fetch_add(&g_calls, 1);
}

static void UseAlternateStack(void) {
  static char stack[16384];
  const struct sigaction action = {.sa_handler = OnSignal, .sa_flags = SA_ONSTACK | SA_RESTART};
  if (sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL) != 0) _exit(25);
  if (sigaction(SIGUSR2, &action, NULL) != 0) _exit(26);
}

static const struct {
  const char* name;
  void (*work)(void);
} kWorks[] = {{"malloc", Churn},       {"fork", Fork},       {"dlopen", Load},
              {"small", SmallThreads}, {"alternate", Churn}, {"blocked", Churn}};

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  g_library = argc > 3 ? argv[3] : NULL;
  if (strcmp(argv[1], "alternate") == 0) UseAlternateStack();
  if (strcmp(argv[1], "blocked") == 0) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
  }
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  g_end = now.tv_sec + atoi(argv[2]);
  pthread_t other;
  if (pthread_create(&other, NULL, ChurnInThread, NULL) != 0) return 3;
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 4;
  for (size_t i = 0; i < sizeof(kWorks) / sizeof(kWorks[0]); ++i) {
    while (strcmp(argv[1], kWorks[i].name) == 0 && GoesOn()) kWorks[i].work();
  }
  pthread_join(other, NULL);
  if (strcmp(argv[1], "alternate") == 0 && atomic_load(&g_calls) == 0) return 5;
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 6;
}
