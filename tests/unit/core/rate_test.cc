#include "libmemtrace/core/rate.h"

#include <gtest/gtest.h>

#include "tests/unit/core/recorded_process.h"

namespace memtrace::core {
namespace {

constexpr uintptr_t kHeap = 0x7f1200000000;

uint64_t InitialRateWith(const std::string& sample, uint64_t limit_bytes) {
  uint64_t* result =
      static_cast<uint64_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=" + sample},
                        [&] {
                          g_process.cgroup.version = 2;
                          g_process.cgroup.limit_bytes = limit_bytes;
                          *result = InitialRate();
                        }),
            0);
  const uint64_t rate = *result;
  munmap(result, 4096);
  return rate;
}

TEST(RateTest, UsersChoiceHolds) {
  EXPECT_EQ(InitialRateWith("1", 100 * kTestMiB), 1u);
  EXPECT_EQ(InitialRateWith("4096", 100 * kTestMiB), 4096u);
  EXPECT_EQ(InitialRateWith("64KiB", format::kUnknown), 65536u);
}

TEST(RateTest, AutoFollowsTheLimitWithinBounds) {
  EXPECT_EQ(InitialRateWith("auto", format::kUnknown), 512u * 1024);
  EXPECT_EQ(InitialRateWith("auto", 16 * kTestMiB), 32u * 1024);
  EXPECT_EQ(InitialRateWith("auto", 512 * kTestMiB), 256u * 1024);
  EXPECT_EQ(InitialRateWith("auto", 64 * 1024 * kTestMiB), 2048u * 1024);
}

TEST(RateTest, ChangesAreLoggedUntilThereIsNoRoom) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 100'000);
                          for (uint32_t i = 1; i < format::kRateSlots; ++i) {
                            EXPECT_TRUE(ChangeRate(1000 + i, format::RateReason::kBrink));
                          }
                          EXPECT_FALSE(ChangeRate(5, format::RateReason::kBrink));
                        }),
            0);
  const format::Header h = process.Recorded().header;
  EXPECT_EQ(h.rate_index, format::kRateSlots - 1);
  EXPECT_EQ(h.rates[0].bytes, 1u);
  EXPECT_EQ(h.rates[0].reason, static_cast<uint32_t>(format::RateReason::kInitial));
  for (uint32_t i = 1; i < format::kRateSlots; ++i) {
    EXPECT_EQ(h.rates[i].bytes, 1000 + i);
    EXPECT_EQ(h.rates[i].reason, static_cast<uint32_t>(format::RateReason::kBrink));
    EXPECT_GE(h.rates[i].since_ns, h.rates[i - 1].since_ns);
    EXPECT_GE(h.rates[i].since_work_bytes, 100'000u);
  }
}

TEST(RateTest, NewRateHoldsForNewBlocksAndOldOnesKeepTheirs) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 100);
                          ChangeRate(1 << 20, format::RateReason::kBudget);
                          for (uintptr_t i = 1; i < 1000; ++i) Malloc(kHeap + i * 64, 10);  // hardly one of them
                          Malloc(kHeap + 0x100000, 2 << 20);                                // for certain
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  ASSERT_GE(profile.live.size(), 2u);
  EXPECT_LE(profile.live.size(), 12u);
  EXPECT_EQ(profile.live.front().rate_bytes, 1u);
  EXPECT_EQ(profile.live.back().size, 2u << 20);
}

TEST(RateTest, RoomIsLookedAfterOnlyWhenItIsShort) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_MAX=1MiB"},
                        [] {
                          const format::Header& h = g_process.recording.header();
                          const uint64_t room = g_process.live.CapacityLeft();
                          uint64_t blocks = 0;
                          for (; h.rate_index == 0; ++blocks) Malloc(kHeap + blocks * 4096, 2000);
                          EXPECT_GE(blocks, room / 2);         // overflow buckets and counters take room too
                          EXPECT_EQ(h.rates[1].bytes, 8192u);  // four times the mean block
                          CheckTableRoom(room);
                          EXPECT_EQ(h.rates[2].bytes, 16384u);
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  EXPECT_LT(profile.live.size(), 5000u);
}

}  // namespace
}  // namespace memtrace::core
