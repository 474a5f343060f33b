#ifndef MEMTRACE_TESTS_RANKING_SITE_H_
#define MEMTRACE_TESTS_RANKING_SITE_H_

#include <cstddef>
#include <cstdlib>
#include <cstring>

// A function of that name that allocates and writes a block, and is a frame of its own.
#define MEMTRACE_SITE(name)                   \
  [[gnu::noinline]] void* name(size_t size) { \
    void* const block = malloc(size);         \
    memset(block, 1, size);                   \
    asm volatile("" ::: "memory");            \
    return block;                             \
  }

#endif  // MEMTRACE_TESTS_RANKING_SITE_H_
