// blocked IDLE: threads that wait in system calls, each of which would say so if something else than what it waits for
// had ended it; and IDLE more that wait for the end. Writes "ready"; after a line on standard input everybody is woken
// and it writes "done".
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_int g_stop;
static atomic_int g_waiting;
static atomic_int g_wakes;  // by anything but what was waited for
static int g_pipe[2];
static int g_pair[2];
static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_changed = PTHREAD_COND_INITIALIZER;
static sem_t g_semaphore;

static void Note(const char* what, int ok) {
  if (ok) return;
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  atomic_fetch_add(&g_wakes, 1);
}

static void* InEpoll(void* unused) {
  const int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data = {0}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, g_pipe[0], &event);
  atomic_fetch_add(&g_waiting, 1);
  Note("epoll_wait", epoll_wait(epoll, &event, 1, -1) == 1);
  return unused;
}

static void* InPoll(void* unused) {
  struct pollfd fd = {g_pipe[0], POLLIN, 0};
  atomic_fetch_add(&g_waiting, 1);
  Note("poll", poll(&fd, 1, 600000) == 1);
  return unused;
}

static void* InSelect(void* unused) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(g_pipe[0], &set);
  atomic_fetch_add(&g_waiting, 1);
  Note("select", select(g_pipe[0] + 1, &set, NULL, NULL, NULL) == 1);
  return unused;
}

static void* InReceive(void* unused) {
  char byte;
  atomic_fetch_add(&g_waiting, 1);
  Note("recv", recv(g_pair[0], &byte, 1, 0) == 1);
  return unused;
}

static void* InSleep(void* unused) {
  atomic_fetch_add(&g_waiting, 1);
  while (!atomic_load(&g_stop)) {
    const struct timespec time = {0, 200 * 1000 * 1000};
    struct timespec rest = {0, 0};
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    Note("nanosleep", nanosleep(&time, &rest) == 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    const long slept = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
    Note("nanosleep was too short", slept >= time.tv_nsec);
  }
  return unused;
}

static void* InSemaphore(void* unused) {
  atomic_fetch_add(&g_waiting, 1);
  Note("sem_wait", sem_wait(&g_semaphore) == 0);
  return unused;
}

static void* InSignalWait(void* unused) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  atomic_fetch_add(&g_waiting, 1);
  Note("sigwaitinfo", sigwaitinfo(&set, NULL) == SIGRTMIN + 3);
  return unused;
}

static void* InCondition(void* unused) {
  pthread_mutex_lock(&g_lock);
  atomic_fetch_add(&g_waiting, 1);
  while (!atomic_load(&g_stop)) pthread_cond_wait(&g_changed, &g_lock);
  pthread_mutex_unlock(&g_lock);
  return unused;
}

int main(int argc, char** argv) {
  static void* (*const kWaits[])(void*) = {InEpoll, InPoll, InSelect, InReceive, InSleep, InSemaphore, InSignalWait};
  enum { kKinds = sizeof(kWaits) / sizeof(kWaits[0]), kMost = 512 };
  const int idle = argc > 1 ? atoi(argv[1]) : 0;
  pthread_t ids[kMost];
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  if (pipe(g_pipe) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, g_pair) != 0 || idle + kKinds > kMost) return 2;
  sem_init(&g_semaphore, 0, 0);
  for (int i = 0; i < kKinds + idle; ++i) {
    if (pthread_create(&ids[i], NULL, i < kKinds ? kWaits[i] : InCondition, NULL) != 0) return 3;
  }
  while (atomic_load(&g_waiting) < kKinds + idle) usleep(1000);
  usleep(100 * 1000);
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 4;
  char byte;
  Note("read", read(STDIN_FILENO, &byte, 1) == 1);
  atomic_store(&g_stop, 1);
  if (write(g_pipe[1], "x", 1) != 1 || write(g_pair[1], "x", 1) != 1) return 5;
  sem_post(&g_semaphore);
  kill(getpid(), SIGRTMIN + 3);
  pthread_mutex_lock(&g_lock);
  pthread_cond_broadcast(&g_changed);
  pthread_mutex_unlock(&g_lock);
  for (int i = 0; i < kKinds + idle; ++i) pthread_join(ids[i], NULL);
  if (write(STDOUT_FILENO, "done\n", 5) != 5) return 6;
  return atomic_load(&g_wakes) == 0 ? 0 : 7;
}
