// leak_or_tree leak: a start-up table, requests that come and go, and a leak; takes a snapshot of itself half-way.
// leak_or_tree wide: a block at each of 32,768 stacks.
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kRounds = 40000, kDepth = 15 };

void* Leak(void);
void Serve(int round);

__attribute__((noinline)) void* Leak(void) {
  void* volatile block = malloc(100);
  return block;
}
__attribute__((noinline)) void Serve(int round) {
  char* volatile request = malloc(400 + (size_t)round % 100);
  if (round % 4 == 0) memset(Leak(), 1, 100);
  free(request);
}

__attribute__((noinline)) static void* LoadTable(void) {
  void* volatile table = malloc((size_t)1 << 20);
  return table;
}

// Which of two functions calls which is decided by the bits of `path`: each path is a stack of its own.
static void* Left(uint32_t path, int depth);
static void* Right(uint32_t path, int depth);
__attribute__((noinline)) static void* Descend(uint32_t path, int depth) {
  void* volatile block = depth == 0 ? malloc(16 + path)
                         : path & 1 ? Left(path >> 1, depth - 1)
                                    : Right(path >> 1, depth - 1);
  return block;
}
__attribute__((noinline)) static void* Left(uint32_t path, int depth) {
  void* volatile block = Descend(path, depth);
  return block;
}
__attribute__((noinline)) static void* Right(uint32_t path, int depth) {
  void* volatile block = Descend(path, depth);
  return block;
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "wide") == 0) {
    for (uint32_t path = 0; path < 1u << kDepth; ++path) *(volatile char*)Descend(path, kDepth) = 1;
    return 0;
  }
  memset(LoadTable(), 1, (size_t)1 << 20);
  for (int round = 0; round < kRounds; ++round) {
    if (round == kRounds / 2) kill(getpid(), SIGUSR2);
    Serve(round);
  }
  return 0;
}
