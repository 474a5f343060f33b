#include "libmemtrace/core/rate.h"

#include <gtest/gtest.h>

#include "tests/unit/core/recorded_process.h"
#include "tools/analysis/interval.h"

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

TEST(RateTest, AutoBeginsExactAndKnowsItsEnd) {
  EXPECT_EQ(InitialRateWith("auto", 16 * kTestMiB), 1u);
  const struct {
    uint64_t limit_bytes;
    uint64_t coarsest_bytes;
  } cases[] = {{format::kUnknown, 4 * kTestMiB},
               {16 * kTestMiB, kTestMiB / 4},
               {512 * kTestMiB, 2 * kTestMiB},
               {64 * 1024 * kTestMiB, 16 * kTestMiB}};
  for (const auto& test : cases) {
    RecordedProcess process;
    EXPECT_EQ(process.Run({},
                          [&] {
                            g_process.cgroup.version = 2;
                            g_process.cgroup.limit_bytes = test.limit_bytes;
                            EXPECT_EQ(CoarsestRate(), test.coarsest_bytes);
                          }),
              0);
  }
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

TEST(RateTest, BudgetMovesTheRateUpAndDown) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_MAX=8MiB"},
                        [] {
                          const format::Header& h = g_process.recording.header();
                          const auto rate = [&h] { return h.rates[h.rate_index].bytes; };
                          EXPECT_FALSE(Refine(64));
                          for (uintptr_t i = 0; i < 20'000; ++i) Malloc(kHeap + i * 256, 200);
                          EXPECT_EQ(g_process.live_entries.load() / 64, 20'000u / 64);
                          EXPECT_TRUE(Coarsen(10));
                          EXPECT_EQ(rate(), 2048u);
                          EXPECT_NEAR(static_cast<double>(g_process.live_entries.load()), 1900, 250);  // thinned
                          EXPECT_TRUE(Coarsen(2));
                          EXPECT_EQ(rate(), 4096u);
                          EXPECT_TRUE(Refine(3));
                          EXPECT_EQ(rate(), 2048u);
                          EXPECT_EQ(h.rates[3].bytes, 0u);  // the old place
                          EXPECT_TRUE(Refine(64));
                          EXPECT_EQ(rate(), 64u);
                          EXPECT_FALSE(Refine(2));
                          EXPECT_TRUE(Refine(8));
                          EXPECT_EQ(rate(), 1u);
                          EXPECT_TRUE(Coarsen(1 << 30));
                          EXPECT_EQ(rate(), CoarsestRate());
                          EXPECT_FALSE(Coarsen(2));
                        }),
            0);
}

TEST(RateTest, FullTableForbidsAFinerRate) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_MAX=1MiB"},
                        [] {
                          const format::Header& h = g_process.recording.header();
                          for (uintptr_t i = 0; h.rate_index == 0; ++i) Malloc(kHeap + i * 4096, 2000);
                          EXPECT_EQ(h.rates[1].reason, static_cast<uint32_t>(format::RateReason::kTableFull));
                          uint64_t steps = 0;
                          while (Refine(2)) ++steps;
                          EXPECT_LE(steps, 2u);
                          EXPECT_GT(h.rates[h.rate_index].bytes, 1u);
                        }),
            0);
  constexpr uint64_t kFrontBytes = 2 * format::kChunkBytes;
  EXPECT_LE(std::filesystem::file_size(process.Files(".rec").at(0)), kTestMiB + kFrontBytes);
}

// What the estimates must survive: blocks recorded at one rate, thinned to another, joined by blocks of a third. The
// truth lies in 95 % of the intervals: of 160, 152 are expected and 2.8 is the standard deviation.
TEST(RateTest, EstimatesStayUnbiasedThroughEveryChange) {
  constexpr int kRuns = 40;
  constexpr uint64_t kBlocks = 6'000;
  constexpr size_t kSizes[] = {200, 700, 2000, 9000};
  double sums[4] = {};
  int covered = 0;
  for (int run = 0; run < kRuns; ++run) {
    RecordedProcess process;
    EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_SEED=" + std::to_string(1000 + run)},
                          [&] {
                            for (uint64_t i = 0; i < kBlocks; ++i) {
                              if (i == kBlocks / 4) Coarsen(4);
                              if (i == kBlocks / 2) Refine(2);
                              if (i == kBlocks * 5 / 8) Coarsen(4);
                              if (i == kBlocks * 3 / 4) Refine(16);
                              for (uint64_t k = 0; k < 4; ++k) Malloc(kHeap + (i * 4 + k) * 16384, kSizes[k]);
                              if (i % 2 == 0) continue;
                              for (uint64_t k = 0; k < 4; ++k) Free(kHeap + (i / 2 * 4 + k) * 16384);
                            }
                          }),
              0);
    const tools::Profile profile = process.Recorded();
    for (int k = 0; k < 4; ++k) {
      tools::LiveEstimate estimate;
      for (const tools::LiveBlock& block : profile.live) {
        if (block.size == kSizes[k]) estimate.Add(block.size, block.rate_bytes);
      }
      const uint64_t truth = kSizes[k] * kBlocks / 2;
      sums[k] += static_cast<double>(estimate.bytes()) / static_cast<double>(truth);
      const auto interval = estimate.Interval95();
      covered += interval.low <= truth && truth <= interval.high ? 1 : 0;
    }
  }
  for (int k = 0; k < 4; ++k) EXPECT_NEAR(sums[k] / kRuns, 1, 0.05) << kSizes[k];
  EXPECT_GE(covered, 142);
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
