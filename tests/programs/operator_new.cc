// operator_new SEED OPERATIONS [foreign]: operator new and delete in all forms, in a pseudo-random order, with a count
// of its own. foreign: leaves out the one that fails by throwing; an allocator written in C cannot.
#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/programs/tally.h"

namespace {

struct Block {
  void* address;
  size_t size;
  size_t alignment;  // 0: of the forms without
  bool array;
};
constexpr size_t kBlocks = 512;
Block g_blocks[kBlocks];
uint64_t g_random;
bool g_foreign;

size_t Random(size_t below) { return static_cast<size_t>(NextRandom(&g_random) >> 33) % below; }

void Allocate(Block* block) {
  // Sizes that libstdc++ passes on as they are: it turns 0 into 1, and rounds up to the alignment.
  const size_t alignment = size_t{32} << Random(5);
  const size_t size = alignment * (1 + Random(20));
  const auto aligned = std::align_val_t(alignment);
  const size_t form = Random(8);
  *block = {nullptr, size, form < 4 ? 0 : alignment, form % 2 == 1};
  switch (form) {
    case 0:
      block->address = ::operator new(size);
      break;
    case 1:
      block->address = ::operator new[](size);
      break;
    case 2:
      block->address = ::operator new(size, std::nothrow);
      break;
    case 3:
      block->address = ::operator new[](size, std::nothrow);
      break;
    case 4:
      block->address = ::operator new(size, aligned);
      break;
    case 5:
      block->address = ::operator new[](size, aligned);
      break;
    case 6:
      block->address = ::operator new(size, aligned, std::nothrow);
      break;
    default:
      block->address = ::operator new[](size, aligned, std::nothrow);
  }
  if (block->address == nullptr) _exit(10);
  const bool misaligned = block->alignment != 0 && reinterpret_cast<uintptr_t>(block->address) % block->alignment != 0;
  if (misaligned && !g_foreign) _exit(11);
  memset(block->address, 0x5a, size);
  TallyAllocation(block->address, size);
}

void Release(Block* block) {
  const auto aligned = std::align_val_t(block->alignment);
  const size_t form = Random(3) + (block->alignment != 0 ? 3 : 0) + (block->array ? 6 : 0);
  TallyFree(block->address, block->size);
  switch (form) {
    case 0:
      ::operator delete(block->address);
      break;
    case 1:
      ::operator delete(block->address, block->size);
      break;
    case 2:
      ::operator delete(block->address, std::nothrow);
      break;
    case 3:
      ::operator delete(block->address, aligned);
      break;
    case 4:
      ::operator delete(block->address, block->size, aligned);
      break;
    case 5:
      ::operator delete(block->address, aligned, std::nothrow);
      break;
    case 6:
      ::operator delete[](block->address);
      break;
    case 7:
      ::operator delete[](block->address, block->size);
      break;
    case 8:
      ::operator delete[](block->address, std::nothrow);
      break;
    case 9:
      ::operator delete[](block->address, aligned);
      break;
    case 10:
      ::operator delete[](block->address, block->size, aligned);
      break;
    default:
      ::operator delete[](block->address, aligned, std::nothrow);
  }
  block->address = nullptr;
}

// The exceptions are allocations of the C++ runtime: their number does not depend on the arguments.
void FailOften() {
  const volatile size_t huge = SIZE_MAX / 2 + 1;
  for (int i = 0; i < 10; ++i) {
    try {
      void* block = ::operator new(huge);
      ::operator delete(block);
      _exit(12);
    } catch (const std::bad_alloc&) {
    }
    if (::operator new[](huge, std::nothrow) != nullptr) _exit(13);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  g_random = strtoull(argv[1], nullptr, 10) * 0x9e3779b97f4a7c15 + 1;
  g_foreign = argc > 3;
  if (!g_foreign) FailOften();
  for (unsigned long i = strtoul(argv[2], nullptr, 10); i > 0; --i) {
    Block& block = g_blocks[Random(kBlocks)];
    block.address == nullptr ? Allocate(&block) : Release(&block);
    ::operator delete(nullptr);
  }
  WriteTally();
  return 0;
}
