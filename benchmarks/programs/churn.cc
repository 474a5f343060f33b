// Random churn: a live window of 10,000 blocks of 16 to 271 bytes, in which a random one is freed and allocated anew.
// Usage: churn PAIRS [THREADS [STACKS [PER_STACK]]]
//   PAIRS      pairs of free and malloc per thread
//   THREADS    each with a window of its own (1)
//   STACKS     how many distinct call stacks there are, 13 to 20 frames deep (1000)
//   PER_STACK  allocations from one stack before the program returns and calls another (16)
// Prints, in nanoseconds per pair of one thread: wall-clock time, and the process's CPU time over all pairs.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <vector>

namespace {

constexpr uint64_t kWindow = 10'000;

struct Churn {
  std::vector<void*> window = std::vector<void*>(kWindow);
  uint64_t random;
  uint64_t left;
  uint64_t stacks;
  uint64_t per_stack;

  uint64_t Next() {  // xorshift64*
    random ^= random >> 12;
    random ^= random << 25;
    random ^= random >> 27;
    return random * 0x2545F4914F6CDD1DULL;
  }
};

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x7FB5D329728EA185ULL;
  x = (x ^ (x >> 27)) * 0x81DADEF4BC2DD44DULL;
  return x ^ (x >> 33);
}

[[gnu::noinline]] void AllocateFromHere(Churn& churn) {
  for (uint64_t i = 0; i < churn.per_stack && churn.left > 0; ++i, --churn.left) {
    void*& slot = churn.window[churn.Next() % kWindow];
    free(slot);
    slot = malloc(16 + churn.Next() % 256);
  }
  asm volatile("" ::: "memory");
}

// One of two functions at each level, by the bits of `path`: so many stacks without as many functions.
template <int kWhich>
[[gnu::noinline]] void Descend(Churn& churn, unsigned levels, uint64_t path) {
  if (levels == 0) {
    AllocateFromHere(churn);
  } else if (path & 1) {
    Descend<1 - kWhich>(churn, levels - 1, path >> 1);
  } else {
    Descend<kWhich>(churn, levels - 1, path >> 1);
  }
  asm volatile("" ::: "memory");
}

void Run(uint64_t pairs, uint64_t seed, uint64_t stacks, uint64_t per_stack) {
  Churn churn{.random = Mix(seed) | 1, .left = pairs, .stacks = stacks, .per_stack = per_stack};
  while (churn.left > 0) {
    const uint64_t path = Mix(churn.Next() % stacks + 1);
    Descend<0>(churn, 8 + path % 8, path >> 3);
  }
  for (void* block : churn.window) free(block);
}

uint64_t Argument(int argc, char** argv, int index, uint64_t otherwise) {
  return argc > index ? strtoull(argv[index], nullptr, 10) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: churn PAIRS [THREADS [STACKS [PER_STACK]]]\n");
    return 2;
  }
  const uint64_t pairs = Argument(argc, argv, 1, 0);
  const uint64_t threads = Argument(argc, argv, 2, 1);
  const uint64_t stacks = Argument(argc, argv, 3, 1000);
  const uint64_t per_stack = Argument(argc, argv, 4, 16);
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> others;
  for (uint64_t i = 1; i < threads; ++i) others.emplace_back(Run, pairs, i, stacks, per_stack);
  Run(pairs, 0, stacks, per_stack);
  for (std::thread& other : others) other.join();
  const std::chrono::duration<double, std::nano> wall = std::chrono::steady_clock::now() - start;
  const double cpu_ns = static_cast<double>(clock()) * (1e9 / CLOCKS_PER_SEC);
  const auto count = static_cast<double>(pairs);
  printf("%.1f %.1f\n", wall.count() / count, cpu_ns / (count * static_cast<double>(threads)));
  return 0;
}
