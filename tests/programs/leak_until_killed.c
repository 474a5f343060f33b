// A start-up table that is larger than the leak at every moment but the last, a cache that is full and keeps replacing,
// short-lived buffers, and a leak: until the limit of its cgroup kills it, after about two seconds in 100 MiB.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kTableRows = 12000, kCacheRows = 4000 };

void* g_table[kTableRows];
void* g_audit[256];

static void* Filled(size_t size) {
  char* block = malloc(size);
  if (block == NULL) abort();
  memset(block, 1, size);
  return block;
}

__attribute__((noinline)) static void LoadTable(void) {
  for (int i = 0; i < kTableRows; ++i) g_table[i] = Filled(3000);
}

__attribute__((noinline)) static void ReplaceInCache(unsigned random) {
  static void* cache[kCacheRows];
  free(cache[random % kCacheRows]);
  cache[random % kCacheRows] = Filled(2000);
}

__attribute__((noinline)) static void ServeRequest(void) {
  void* volatile buffer = Filled(16384);
  free(buffer);
}

__attribute__((noinline)) static void Leak(void) {
  static unsigned next;
  g_audit[next++ % 256] = Filled(700);
}

int main(void) {
  LoadTable();
  unsigned random = 1;
  for (unsigned round = 0;; ++round) {
    ReplaceInCache((random = random * 1664525 + 1013904223) >> 16);
    Leak();
    ServeRequest();
    if (round % 64 == 0) usleep(300);
  }
}
