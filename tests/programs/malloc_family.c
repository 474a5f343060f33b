// malloc_family SEED OPERATIONS [foreign]: calls every function of the malloc family of C in a pseudo-random order,
// checks what the standards promise, and writes its own count of what it did. foreign: leaves out what allocators other
// than libc's lack (the call would end in libc's heap) or do otherwise (errno).
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tests/programs/tally.h"

void free_sized(void* block, size_t size) __attribute__((weak));
void free_aligned_sized(void* block, size_t alignment, size_t size) __attribute__((weak));
void* pvalloc(size_t size) __attribute__((weak));
void cfree(void* block) __attribute__((weak));

enum { kBlocks = 512 };
typedef struct {
  void* address;
  size_t size;
  size_t alignment;  // 0: of malloc
} Block;
static Block g_blocks[kBlocks];
static uint64_t g_random;
static FILE* g_stream;
static int g_foreign;

static void Check(int holds, int status) {
  if (!holds) _exit(status);
}

static size_t Random(size_t below) { return (size_t)(NextRandom(&g_random) >> 33) % below; }

// Mostly small, sometimes nothing, sometimes mapped by the allocator.
static size_t RandomSize(void) {
  const size_t kind = Random(100);
  if (kind < 4) return 0;
  if (kind < 90) return Random(600);
  return kind < 99 ? Random(20000) : Random(400000);
}

static void Keep(Block* block, void* address, size_t size, size_t alignment) {
  Check(address != NULL, 10);
  Check(((uintptr_t)address & ((alignment != 0 ? alignment : sizeof(void*)) - 1)) == 0, 11);
  Check(malloc_usable_size(address) >= size, 12);
  memset(address, 0x5a, size);
  *block = (Block){address, size, alignment};
  TallyAllocation(address, size);
}

static void Release(Block* block) {
  TallyFree(block->address, block->size);
  errno = 4711;
  switch (Random(4)) {
    case 0:
      if (cfree != NULL && !g_foreign) {
        cfree(block->address);
        break;
      }
      __attribute__((fallthrough));
    case 1:
      if (block->alignment == 0 && free_sized != NULL && !g_foreign) {
        free_sized(block->address, block->size);
        break;
      }
      __attribute__((fallthrough));
    case 2:
      if (block->alignment != 0 && free_aligned_sized != NULL && !g_foreign) {
        free_aligned_sized(block->address, block->alignment, block->size);
        break;
      }
      __attribute__((fallthrough));
    default:
      free(block->address);
  }
  Check(errno == 4711, 13);
  block->address = NULL;
}

static void AllocateZeroed(Block* block) {
  const size_t count = 1 + Random(16);
  const size_t size = Random(100);
  char* address = calloc(count, size);
  Check(address != NULL, 14);
  for (size_t i = 0; i < count * size; ++i) Check(address[i] == 0, 15);
  Keep(block, address, count * size, 0);
}

static void AllocateAligned(Block* block) {
  const size_t alignment = (size_t)16 << Random(8);
  const size_t size = RandomSize() + (size_t)g_foreign;  // jemalloc does not align blocks of no bytes
  void* address = NULL;
  switch (Random(5)) {
    case 0:
      Keep(block, memalign(alignment, size), size, alignment);
      break;
    case 1:
      Check(posix_memalign(&address, alignment, size) == 0, 16);
      Keep(block, address, size, alignment);
      break;
    case 2:
      Keep(block, aligned_alloc(alignment, size), size, alignment);
      break;
    case 3:
      Keep(block, valloc(size), size, 4096);
      break;
    default:
      Keep(block, pvalloc != NULL && !g_foreign ? pvalloc(size) : valloc(size), size, 4096);
  }
}

static void AllocateByLibrary(Block* block) {
  static const char kText[] = "a text that somebody copies";
  if (Random(2) == 0) {
    Keep(block, strdup(kText), sizeof(kText), 0);
    return;
  }
  char* line = NULL;
  size_t capacity = 0;
  rewind(g_stream);
  ungetc(getc(g_stream), g_stream);  // musl's getline takes a first small block if nothing is read yet
  Check(getline(&line, &capacity, g_stream) > 0, 17);
  Keep(block, line, capacity, 0);
}

static void Reallocate(Block* block) {
  const size_t size = Random(4) == 0 ? block->size + Random(3) : RandomSize();  // in place, grown, shrunk
  if (size == 0) return;
  void* moved = Random(2) == 0 ? realloc(block->address, size) : reallocarray(block->address, 1, size);
  Check(moved != NULL, 18);
  for (size_t i = 0; i < size && i < block->size; i += 97) Check(((char*)moved)[i] == 0x5a, 19);
  TallyFree(block->address, block->size);
  Keep(block, moved, size, 0);
}

static void ReallocateToNothing(Block* block) {
  void* address = realloc(block->address, 0);
  TallyFree(block->address, block->size);
  block->address = NULL;
  if (address != NULL) Keep(block, address, 0, 0);  // musl
}

static int OutOfMemory(void) { return errno == ENOMEM || g_foreign; }

// Each fails and leaves *block as it was.
static void Fail(const Block* block) {
  const volatile size_t too_much = (size_t)PTRDIFF_MAX + 1;  // volatile: compilers know that it fails
  const size_t huge = too_much;
  void* address = &address;
  errno = 0;
  switch (Random(7)) {
    case 0:
      Check(malloc(huge) == NULL && OutOfMemory(), 20);
      break;
    case 1:
      Check(calloc(huge, 4) == NULL && OutOfMemory(), 21);
      break;
    case 2:
      Check(realloc(block->address, huge) == NULL && OutOfMemory(), 22);
      break;
    case 3:
      Check(reallocarray(block->address, huge, 2) == NULL && OutOfMemory(), 23);
      break;
    case 4:
      Check(posix_memalign(&address, 24, 8) == EINVAL && address == &address, 24);
      break;
    case 5:
      Check(posix_memalign(&address, 64, huge) == ENOMEM && address == &address, 25);
      break;
    default:
      Check(memalign(64, huge) == NULL && OutOfMemory(), 26);
  }
  Check(block->size == 0 || *(char*)block->address == 0x5a, 27);
}

static void Operate(Block* block) {
  if (block->address == NULL) {
    switch (Random(6)) {
      case 0:
        AllocateZeroed(block);
        return;
      case 1:
        AllocateAligned(block);
        return;
      case 2:
        AllocateByLibrary(block);
        return;
      case 3: {
        const size_t size = RandomSize();
        Keep(block, realloc(NULL, size), size, 0);
        return;
      }
      default: {
        const size_t size = RandomSize();
        Keep(block, malloc(size), size, 0);
        if (Random(4) == 0) Release(block);  // a temporary one
        return;
      }
    }
  }
  switch (Random(8)) {
    case 0:
    case 1:
    case 2:
      Reallocate(block);
      break;
    case 3:
      ReallocateToNothing(block);
      break;
    case 4:
      Fail(block);
      break;
    default:
      Release(block);
  }
}

int main(int argc, char** argv) {
  static char text[] = "a line\n";
  static char buffer[4096];
  if (argc < 3) return 2;
  g_foreign = argc > 3;
  g_random = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15ULL + 1;
  g_stream = fmemopen(text, sizeof(text), "r");
  if (g_stream == NULL || setvbuf(g_stream, buffer, _IOFBF, sizeof(buffer)) != 0) return 3;
  for (unsigned long i = strtoul(argv[2], NULL, 10); i > 0; --i) {
    Operate(&g_blocks[Random(kBlocks)]);
    free(NULL);
  }
  WriteTally();
  return 0;
}
