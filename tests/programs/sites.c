// Sites of different block sizes, each with 40 sampling intervals of 16 KiB alive at the end and as much again freed
// before. Prints what is alive, {"function": bytes, ...}, and ends.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { kLiveBytes = 640 * 1024, kMostBlocks = kLiveBytes / 16 };

static uint64_t g_random = 88172645463325252u;

static uint64_t Random(void) {
  g_random ^= g_random << 13;
  g_random ^= g_random >> 7;
  return g_random ^= g_random << 17;
}

#define SITE(name)                                           \
  __attribute__((noinline)) static void* name(size_t size) { \
    void* volatile block = malloc(size);                     \
    return block;                                            \
  }
SITE(Allocate16)
SITE(Allocate48)
SITE(Allocate200)
SITE(Allocate1000)
SITE(Allocate4000)
SITE(Allocate12000)
SITE(AllocateMixed)
SITE(Allocate20000)
SITE(Allocate262144)

struct Site {
  const char* name;
  void* (*allocate)(size_t size);
  size_t size;  // 0: from 8 bytes to 16 KiB, small ones often
  size_t live_bytes;
  void* blocks[kMostBlocks];
  size_t sizes[kMostBlocks];
  size_t count;
};

static struct Site g_sites[] = {
    {.name = "Allocate16", .allocate = Allocate16, .size = 16},
    {.name = "Allocate48", .allocate = Allocate48, .size = 48},
    {.name = "Allocate200", .allocate = Allocate200, .size = 200},
    {.name = "Allocate1000", .allocate = Allocate1000, .size = 1000},
    {.name = "Allocate4000", .allocate = Allocate4000, .size = 4000},
    {.name = "Allocate12000", .allocate = Allocate12000, .size = 12000},
    {.name = "AllocateMixed", .allocate = AllocateMixed},
    {.name = "Allocate20000", .allocate = Allocate20000, .size = 20000},
    {.name = "Allocate262144", .allocate = Allocate262144, .size = 262144},
};
enum { kSites = sizeof(g_sites) / sizeof(g_sites[0]) };

// Calls from one place each, so that every size is one stack.
__attribute__((noinline)) static int GrowOnce(struct Site* site) {
  const size_t size = site->size != 0 ? site->size : (size_t)8 << Random() % 12;
  if (site->live_bytes + size > kLiveBytes || site->count == kMostBlocks) return 0;
  site->blocks[site->count] = site->allocate(size);
  site->sizes[site->count++] = size;
  site->live_bytes += size;
  return 1;
}

static void Shrink(struct Site* site) {
  if (site->count == 0) return;
  const size_t victim = Random() % site->count;
  free(site->blocks[victim]);
  site->live_bytes -= site->sizes[victim];
  --site->count;
  site->blocks[victim] = site->blocks[site->count];
  site->sizes[victim] = site->sizes[site->count];
}

// Two blocks more and one less, as long as there is much room.
__attribute__((noinline)) static int Grow(struct Site* site) {
  const size_t wanted = site->count + 2;
  int grown = 1;
  while (grown && site->count < wanted) grown = GrowOnce(site);
  if (grown && site->live_bytes < kLiveBytes - 262144) Shrink(site);
  return grown;
}

int main(void) {
  for (int growing = 1; growing;) {
    growing = 0;
    for (int i = 0; i < kSites; ++i) {
      growing |= Grow(&g_sites[i]);
    }
  }
  for (int i = 0; i < kSites; ++i) {
    printf("%s\"%s\": %zu", i == 0 ? "{" : ", ", g_sites[i].name, g_sites[i].live_bytes);
  }
  printf("}\n");
}
