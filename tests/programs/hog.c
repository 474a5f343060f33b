// Fills the memory limit of its cgroup in one of the ways that containers do, until the kernel kills somebody for it:
//   hog KIND [DIRECTORY]
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kKiB = 1 << 10, kMiB = 1 << 20 };
// Microseconds after each MiB where little is allocated: for the snapshots on the way to the limit. At what grows outside
// of the heap the library looks four times a second, until the limit is near.
enum { kPause = 20000 };

static void* Filled(size_t size) {
  char* block = malloc(size);
  if (block == NULL) abort();
  memset(block, 1, size);
  return block;
}

// --- The heap ---

__attribute__((noinline)) static void Serve(size_t size) {
  void* volatile buffer = Filled(size);
  free(buffer);
}

static void* g_kept[1 << 16];
__attribute__((noinline)) static void KeepForEver(unsigned round) { g_kept[round % (1 << 16)] = Filled(1500); }

static void Leak(void) {
  for (unsigned round = 0;; ++round) {
    KeepForEver(round);
    Serve(4096);
    Serve(300);
    if (round % 256 == 0) usleep(5000);
  }
}

static void* g_job[1 << 14];
__attribute__((noinline)) static void RunJob(unsigned parts) {
  for (unsigned i = 0; i < parts; ++i) g_job[i] = Filled(32 * kKiB);
  for (unsigned i = 0; i < parts; ++i) free(g_job[i]);
}

// Jobs of all sizes are done and forgotten, until one comes that is larger than the limit.
static void LargeJob(void) {
  for (unsigned round = 0;; ++round) {
    RunJob(round < 400 ? 20 + round * 37 % 100 : 1 << 14);
    Serve(3000);
    if (round % 8 == 0) usleep(1000);
  }
}

static void MapAnonymous(void) {
  for (;;) {
    char* data = mmap(NULL, kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) abort();
    memset(data, 1, kMiB);
    Serve(100 * kKiB);
    usleep(kPause);
  }
}

// --- Files ---

static int CreateIn(const char* directory) {
  char path[4096];
  snprintf(path, sizeof(path), "%s/hog-XXXXXX", directory);
  const int file = mkstemp(path);
  if (file < 0) abort();
  unlink(path);
  return file;
}

static void Write(const char* directory) {
  static char data[kMiB];
  const int file = CreateIn(directory);
  for (;;) {
    Serve(1000);
    if (write(file, data, sizeof(data)) < 0) abort();
    usleep(1000);
  }
}

// Dirty pages of a file that must not be dropped.
static void LockFile(const char* directory) {
  const size_t size = (size_t)1 << 30;
  const int file = CreateIn(directory);
  if (ftruncate(file, (off_t)size) != 0) abort();
  char* data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (data == MAP_FAILED) abort();
  for (size_t at = 0; at < size; at += kMiB) {
    Serve(1000);
    memset(data + at, 1, kMiB);
    if (mlock(data + at, kMiB) != 0) abort();
    usleep(1000);
  }
}

// --- Kernel ---

static void Pipes(void) {
  static char data[64 * kKiB];
  for (;;) {
    int ends[2];
    Serve(1000);
    if (pipe(ends) != 0) {
      // Descriptors are used up: the next process goes on.
      if (fork() > 0) pause();
      continue;
    }
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], data, sizeof(data)) > 0) {
    }
  }
}

// Data that was sent to us and that we never read.
static void Sockets(void) {
  static char data[64 * kKiB];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr*)&address, size) != 0 || listen(listener, 16) != 0) abort();
  getsockname(listener, (struct sockaddr*)&address, &size);
  for (;;) {
    Serve(1000);
    const int sender = socket(AF_INET, SOCK_STREAM, 0);
    const int bytes = 4 * kMiB;
    setsockopt(sender, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
    if (connect(sender, (struct sockaddr*)&address, size) != 0) {
      // No more descriptors: what is full stays full, and a little heap brings the end.
      free(Filled(0));
      g_kept[rand() % (1 << 16)] = Filled(4096);
      continue;
    }
    const int receiver = accept(listener, NULL, NULL);
    setsockopt(receiver, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    fcntl(sender, F_SETFL, O_NONBLOCK);
    while (write(sender, data, sizeof(data)) > 0) {
    }
  }
}

// --- Many ---

static void Fork(void) {
  for (;;) {
    const pid_t child = fork();
    if (child == 0) {
      Filled(700 * kKiB);
      for (;;) pause();
    }
    usleep(2000);
  }
}

static void* UseStack(void* nothing) {
  (void)nothing;
  volatile char stack[900 * kKiB];
  for (size_t i = 0; i < sizeof(stack); i += 512) stack[i] = 1;
  for (;;) pause();
  return NULL;
}

static void Threads(void) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kMiB);
  for (;;) {
    pthread_t thread;
    Serve(100 * kKiB);
    if (pthread_create(&thread, &attributes, UseStack, NULL) != 0) pause();
    usleep(3 * kPause);
  }
}

// Holds little and waits for others to fill the limit.
static void Wait(void) {
  KeepForEver(0);
  for (;;) {
    Serve(5000);
    usleep(2000);
  }
}

int main(int argc, char** argv) {
  const char* kind = argc > 1 ? argv[1] : "";
  const char* directory = argc > 2 ? argv[2] : "/tmp";
  struct {
    const char* kind;
    void (*run)(void);
  } kinds[] = {{"leak", Leak},       {"large-job", LargeJob}, {"mmap", MapAnonymous}, {"pipes", Pipes},
               {"sockets", Sockets}, {"fork", Fork},          {"threads", Threads},   {"wait", Wait}};
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); ++i) {
    if (strcmp(kind, kinds[i].kind) == 0) kinds[i].run();
  }
  if (strcmp(kind, "write") == 0) Write(directory);
  if (strcmp(kind, "lock-file") == 0) LockFile(directory);
  fprintf(stderr, "hog: unknown kind `%s`\n", kind);
  return 2;
}
