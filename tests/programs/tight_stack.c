// tight_stack thread|alternate BYTES: writes "ready" and takes SIGUSR2 on a stack of BYTES bytes with a guard page
// below: that of the only thread that does not block the signal, or an alternate signal stack. Allocates on the tight
// stack too.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile sig_atomic_t g_calls;
static char* g_stack;
static size_t g_bytes;
static int g_alternate;

static void OnSignal(int number) {
  const char* here = (const char*)&number;
  if (g_alternate && (here < g_stack || here >= g_stack + g_bytes)) _exit(20);
  ++g_calls;
}

static void* Work(void* argument) {
  sigset_t all;
  sigemptyset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  while (g_calls == 0) {
    free(malloc(100));
    if (g_alternate) usleep(100);
  }
  return argument;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  g_alternate = strcmp(argv[1], "alternate") == 0;
  g_bytes = strtoul(argv[2], NULL, 10);
  char* memory = mmap(NULL, g_bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, 4096, PROT_NONE) != 0) return 3;
  g_stack = memory + 4096;
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  struct sigaction action = {.sa_handler = OnSignal, .sa_flags = g_alternate ? SA_ONSTACK : 0};
  if (sigaction(SIGUSR2, &action, NULL) != 0) return 4;
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (g_alternate) {
    if (sigaltstack(&(stack_t){.ss_sp = g_stack, .ss_size = g_bytes}, NULL) != 0) return 5;
  } else {
    if (pthread_attr_setstack(&attributes, g_stack, g_bytes) != 0) return 6;
    if (pthread_create(&thread, &attributes, Work, NULL) != 0) return 7;
  }
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 8;
  if (g_alternate) {
    Work(NULL);
  } else {
    pthread_join(thread, NULL);
  }
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 9;
}
