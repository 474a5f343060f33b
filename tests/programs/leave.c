// leave HOW: keeps 2,000 blocks of 1,000 bytes and ends in one of many ways.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void* g_blocks[2000];

static void* ExitInThread(void* argument) {
  exit(5);
  return argument;
}

static void* LingerAndLeave(void* argument) {
  usleep(20000);
  free(malloc(10));
  return argument;
}

static void InThread(void* (*function)(void*)) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, function, NULL) != 0) _exit(3);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  for (int i = 0; i < 2000; ++i) g_blocks[i] = malloc(1000);
  const char* how = argv[1];
  if (strcmp(how, "return") == 0) return 5;
  if (strcmp(how, "exit") == 0) exit(5);
  if (strcmp(how, "_exit") == 0) _exit(5);
  if (strcmp(how, "_Exit") == 0) _Exit(5);
  if (strcmp(how, "quick_exit") == 0) quick_exit(5);
  if (strcmp(how, "raw") == 0) syscall(SYS_exit_group, 5);
  if (strcmp(how, "thread") == 0) {
    InThread(ExitInThread);
    for (;;) pause();
  }
  if (strcmp(how, "pthread_exit") == 0) {
    InThread(LingerAndLeave);
    pthread_exit(NULL);  // the process ends with its last thread, with status 0
  }
  if (strcmp(how, "abort") == 0) abort();
  if (strcmp(how, "segv") == 0) *(volatile int*)8 = 1;
  if (strcmp(how, "kill") == 0) kill(getpid(), SIGKILL);
  if (strcmp(how, "term") == 0) kill(getpid(), SIGTERM);
  return 4;
}
