// on_command: does what the lines on its standard input say, and answers each with a line "ok".
//   keep COUNT BYTES      allocates and holds on
//   free COUNT            frees the oldest that are held
//   fork COUNT BYTES      the same as keep, in a child that ends
//   load PATH FUNCTION    loads a library and calls its function, which allocates
//   handler               installs a handler for SIGUSR2
//   signals               answers "signals N": how often it ran
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kMost = 100000 };
static void* g_held[kMost];
static int g_first, g_last;
static atomic_int g_signals;

static void OnSignal(int signal) {
  (void)signal;
  atomic_fetch_add(&g_signals, 1);
}

__attribute__((noinline)) static void Keep(int count, size_t bytes) {
  for (int i = 0; i < count && g_last < kMost; ++i) g_held[g_last++] = malloc(bytes);
}

static void Free(int count) {
  for (int i = 0; i < count && g_first < g_last; ++i) free(g_held[g_first++]);
}

static int Load(const char* path, const char* name) {
  void* library = dlopen(path, RTLD_NOW);
  void* symbol = library == NULL ? NULL : dlsym(library, name);
  void* (*function)(void);
  memcpy(&function, &symbol, sizeof(function));
  return function != NULL && function() != NULL;
}

int main(void) {
  static char line[4096], path[2048], name[256];
  setvbuf(stdout, NULL, _IOLBF, 0);
  puts("ready");
  while (fgets(line, sizeof(line), stdin) != NULL) {
    int count = 0;
    size_t bytes = 0;
    int ok = 1;
    if (sscanf(line, "keep %d %zu", &count, &bytes) == 2) {
      Keep(count, bytes);
    } else if (sscanf(line, "free %d", &count) == 1) {
      Free(count);
    } else if (sscanf(line, "fork %d %zu", &count, &bytes) == 2) {
      const pid_t child = fork();
      if (child == 0) {
        Keep(count, bytes);
        _exit(0);
      }
      int status = 0;
      ok = waitpid(child, &status, 0) == child && status == 0;
    } else if (sscanf(line, "load %2047s %255s", path, name) == 2) {
      ok = Load(path, name);
    } else if (strcmp(line, "handler\n") == 0) {
      signal(SIGUSR2, OnSignal);
    } else if (strcmp(line, "signals\n") == 0) {
      printf("signals %d\n", atomic_load(&g_signals));
      continue;
    } else {
      ok = 0;
    }
    puts(ok ? "ok" : "failed");
  }
  puts("done");
  return 0;
}
