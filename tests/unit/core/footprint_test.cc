#include "libmemtrace/core/footprint.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "tests/unit/core/recorded_process.h"

namespace memtrace::core {
namespace {

constexpr uintptr_t kHeap = 0x7f1200000000;
constexpr size_t kMapped = 8 * kTestMiB;

TEST(FootprintTest, ResidentMemoryRisesByWhatIsTouched) {
  void* memory = mmap(nullptr, kMapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const uint64_t before = ResidentAnonymousBytes();
  ASSERT_NE(before, format::kUnknown);
  std::memset(memory, 1, kMapped);
  EXPECT_GE(ResidentAnonymousBytes(), before + kMapped * 9 / 10);
  munmap(memory, kMapped);
}

TEST(FootprintTest, OwnMemoryCoversTheTables) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          const uint64_t own = OwnBytes();
                          EXPECT_GT(own, 256 * 1024u);
                          EXPECT_LT(own, 64 * kTestMiB);
                        }),
            0);
}

TEST(FootprintTest, MuchIsAMegabyteAtOnce) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          for (int i = 0; i < 20; ++i) {  // 2 MB in all, never more than 100,000 bytes
                            Malloc(kHeap, 100'000);
                            Free(kHeap);
                          }
                          EXPECT_FALSE(HeldMuch());
                          Malloc(kHeap, 2'000'000);
                          Free(kHeap);
                          EXPECT_TRUE(HeldMuch()) << "also when it is gone";
                        }),
            0);
}

}  // namespace
}  // namespace memtrace::core
