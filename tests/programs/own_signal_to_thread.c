// own_signal_to_thread HOW HANDLER: the program sends SIGUSR2 to a thread of its own. HOW: raise, pthread_kill, tgkill.
// HANDLER: own, default, ignore. Writes how often its handler ran.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile sig_atomic_t g_calls;
static pthread_t g_thread;
static volatile int g_running = 1;

static void OnSignal(int number) {
  (void)number;
  g_calls = g_calls + 1;
}

static void* Wait(void* argument) {
  while (g_running) usleep(100);
  return argument;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  if (strcmp(argv[2], "own") == 0) signal(SIGUSR2, OnSignal);
  if (strcmp(argv[2], "ignore") == 0) signal(SIGUSR2, SIG_IGN);
  if (pthread_create(&g_thread, NULL, Wait, NULL) != 0) return 3;
  for (int i = 0; i < 3; ++i) {
    if (strcmp(argv[1], "raise") == 0) raise(SIGUSR2);
    if (strcmp(argv[1], "pthread_kill") == 0) pthread_kill(g_thread, SIGUSR2);
    if (strcmp(argv[1], "tgkill") == 0) syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGUSR2);
    for (int wait = 0; strcmp(argv[2], "own") == 0 && g_calls <= i && wait < 5000; ++wait) usleep(1000);
  }
  if (strcmp(argv[2], "default") == 0) usleep(5000000);  // the signal to the other thread kills us
  g_running = 0;
  pthread_join(g_thread, NULL);
  printf("calls %d\n", (int)g_calls);
  return 0;
}
