// mallocx_family SEED OPERATIONS: jemalloc's own functions in a pseudo-random order, with a count of its own.
#include <jemalloc/jemalloc.h>
#include <stdlib.h>
#include <string.h>

#include "tests/programs/tally.h"

enum { kBlocks = 256 };
typedef struct {
  void* address;
  size_t size;
  int flags;  // of the allocation; sdallocx must be told
} Block;
static Block g_blocks[kBlocks];
static uint64_t g_random;

static size_t Random(size_t below) { return (size_t)(NextRandom(&g_random) >> 33) % below; }

static void Keep(Block* block, void* address, size_t size, int flags) {
  if (address == NULL) _exit(10);
  memset(address, 0x5a, size);
  *block = (Block){address, size, flags};
  TallyAllocation(address, size);
}

static void Operate(Block* block) {
  const size_t size = 1 + Random(Random(20) == 0 ? 200000 : 2000);
  if (block->address == NULL) {
    const int flags = Random(2) == 0 ? 0 : MALLOCX_ALIGN(64) | MALLOCX_ZERO;
    Keep(block, mallocx(size, flags), size, flags);
    return;
  }
  void* const old = block->address;
  const size_t old_size = block->size;
  const int flags = block->flags;
  block->address = NULL;
  switch (Random(5)) {
    case 0: {
      void* moved = rallocx(old, size, flags);
      TallyFree(old, old_size);
      Keep(block, moved, size, flags);
      return;
    }
    case 1: {
      const size_t now = xallocx(old, size, 0, flags);
      *block = (Block){old, old_size, flags};
      if (now < size) return;  // it stays as it was
      TallyFree(old, old_size);
      Keep(block, old, size, flags);
      return;
    }
    case 2:
      TallyFree(old, old_size);
      dallocx(old, flags);
      return;
    case 3:
      TallyFree(old, old_size);
      sdallocx(old, sallocx(old, flags), flags);  // what xallocx left may be larger than asked for
      return;
    default:
      TallyFree(old, old_size);
      free(old);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  g_random = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15ULL + 1;
  for (unsigned long i = strtoul(argv[2], NULL, 10); i > 0; --i) Operate(&g_blocks[Random(kBlocks)]);
  WriteTally();
  return 0;
}
