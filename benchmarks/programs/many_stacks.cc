// Leaves blocks at many deep stacks: what the reader's speed is measured on.
//
//   many_stacks [STACKS [BLOCKS_PER_STACK]]
//
// A stack is 42 frames deep, and every eighth frame is one of ten functions: 100,000 stacks at most, which share
// their outer frames as those of a real program do.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kLevels = 40;
constexpr int kStep = 8;  // levels from one choice to the next
constexpr int kMostStacks = 100000;

struct Chain {
  Chain* next;
};
Chain* g_blocks = nullptr;  // so that nothing is lost, only kept

template <int kLevel, int kChoice>
[[gnu::noinline]] void Descend(uint32_t digits, size_t bytes) {
  if constexpr (kLevel == kLevels) {
    auto* block = static_cast<Chain*>(std::malloc(bytes));
    if (block == nullptr) std::abort();
    block->next = g_blocks;
    g_blocks = block;
  } else if constexpr (kLevel % kStep != 0) {
    Descend<kLevel + 1, 0>(digits, bytes);
  } else {
    using Next = void (*)(uint32_t, size_t);
    static constexpr Next kNext[] = {Descend<kLevel + 1, 0>, Descend<kLevel + 1, 1>, Descend<kLevel + 1, 2>,
                                     Descend<kLevel + 1, 3>, Descend<kLevel + 1, 4>, Descend<kLevel + 1, 5>,
                                     Descend<kLevel + 1, 6>, Descend<kLevel + 1, 7>, Descend<kLevel + 1, 8>,
                                     Descend<kLevel + 1, 9>};
    kNext[digits % 10](digits / 10, bytes);
  }
  asm volatile("");  // no tail call
}

}  // namespace

int main(int argc, char** argv) {
  const int stacks = argc > 1 ? std::atoi(argv[1]) : kMostStacks;
  const int blocks = argc > 2 ? std::atoi(argv[2]) : 10;
  if (stacks < 1 || stacks > kMostStacks || blocks < 1) {
    std::fprintf(stderr, "usage: many_stacks [STACKS (1 to %d) [BLOCKS_PER_STACK]]\n", kMostStacks);
    return 2;
  }
  for (int round = 0; round < blocks; ++round) {
    for (int i = 0; i < stacks; ++i) {
      Descend<0, 0>(static_cast<uint32_t>(i), sizeof(Chain) + static_cast<size_t>(i % 97) * 8);
    }
  }
  return 0;
}
