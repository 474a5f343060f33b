// survivor FILE: four threads allocate and free; FILE, mapped shared, tells at any instant what malloc has returned
// and was not given to free. A slot is published after malloc and withdrawn before free, so what it holds at a kill
// must be in the recording; the recording may know one block more per thread.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kThreads = 4, kSlots = 4096 };

struct Ledger {
  _Atomic uint64_t sizes[kThreads][kSlots];  // 0: empty
};

static struct Ledger* g_ledger;

// One site each, recognised by name in the report. The size follows the call, so that it is no tail call.
#define SITE(name)                                           \
  __attribute__((noinline)) static void* name(size_t size) { \
    void* volatile block = malloc(size);                     \
    return block;                                            \
  }
SITE(AllocateFirst)
SITE(AllocateSecond)
SITE(AllocateThird)
SITE(AllocateFourth)

static void* (*const kSites[kThreads])(size_t) = {AllocateFirst, AllocateSecond, AllocateThird, AllocateFourth};

static void* Work(void* argument) {
  const uintptr_t me = (uintptr_t)argument;
  _Atomic uint64_t* sizes = g_ledger->sizes[me];
  static void* blocks[kThreads][kSlots];
  uint64_t random = me + 1;
  for (;;) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const uint64_t slot = random % kSlots;
    if (blocks[me][slot] != NULL) {
      atomic_store(&sizes[slot], 0);
      free(blocks[me][slot]);
      blocks[me][slot] = NULL;
    } else {
      const uint64_t size = 1 + (random >> 20) % 500;
      blocks[me][slot] = kSites[me](size);
      if (blocks[me][slot] != NULL) atomic_store(&sizes[slot], size);
    }
  }
  return NULL;
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, sizeof(struct Ledger)) != 0) return 1;
  g_ledger = mmap(NULL, sizeof(struct Ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (g_ledger == MAP_FAILED) return 1;
  pthread_t threads[kThreads];
  for (uintptr_t i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], NULL, &Work, (void*)i) != 0) return 1;
  }
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 1;
  pthread_join(threads[0], NULL);
}
