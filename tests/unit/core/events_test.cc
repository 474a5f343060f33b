#include "libmemtrace/core/events.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "libmemtrace/core/thread_buffers.h"
#include "libmemtrace/rt/random.h"
#include "tests/unit/core/recorded_process.h"

namespace memtrace::core {
namespace {

constexpr uintptr_t kHeap = 0x7f1200000000;

TEST(EventsTest, OneThreadIsExactToTheByte) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 1000);
                          Malloc(kHeap + 0x1000, 0);
                          Malloc(kHeap + 0x2000, 500);
                          Free(kHeap + 0x2000);  // temporary
                          Free(kHeap);
                          Malloc(kHeap, 300);
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  EXPECT_TRUE(profile.losses.empty());
  EXPECT_EQ(profile.totals.allocations, 4u);
  EXPECT_EQ(profile.totals.allocated_bytes, 1800u);
  EXPECT_EQ(profile.totals.frees, 2u);
  EXPECT_EQ(profile.totals.freed_bytes, 1500u);
  EXPECT_EQ(profile.totals.live_allocations, 2u);
  EXPECT_EQ(profile.totals.live_bytes, 300u);
  EXPECT_EQ(profile.totals.peak_live_bytes, 1500u);
  EXPECT_EQ(profile.totals.peak_live_allocations, 3u);
  EXPECT_EQ(profile.totals.temporary_allocations, 1u);
  EXPECT_EQ(profile.work_bytes, 1801u);  // a block of zero bytes is one byte of work
  ASSERT_EQ(profile.live.size(), 2u);
  EXPECT_EQ(profile.live[0].address, kHeap);
  EXPECT_EQ(profile.live[0].size, 300u);
  EXPECT_EQ(profile.sites.size(), 4u);  // four calls
}

// Against a count of its own, with everything that a realloc does.
TEST(EventsTest, RandomHistoryEqualsAModel) {
  struct Model {
    uint64_t allocations = 0, allocated = 0, frees = 0, freed = 0, live = 0, peak = 0;
  } model;
  std::map<uintptr_t, uint64_t> blocks;
  const auto allocate = [&](uintptr_t address, uint64_t size) {
    model.allocations += 1;
    model.allocated += size;
    model.live += size;
    model.peak = std::max(model.peak, model.live);
    blocks[address] = size;
  };
  const auto release = [&](uintptr_t address) {
    model.frees += 1;
    model.freed += blocks[address];
    model.live -= blocks[address];
    blocks.erase(address);
  };
  // Runs in parent and child alike; only the child records.
  const auto run = [&](bool record) {
    uint64_t random = 99;
    for (int i = 0; i < 60'000; ++i) {
      const uintptr_t address = kHeap + rt::NextRandom(&random) % 4000 * 64;
      const uint64_t size = rt::NextRandom(&random) % 3000;
      if (blocks.count(address) == 0) {
        allocate(address, size);
        if (record) Malloc(address, size);
      } else if (i % 5 == 0) {  // realloc in place, which fails every third time
        LiveBlock taken;
        EXPECT_TRUE(!record || TakeForReallocation(reinterpret_cast<void*>(address), &taken));
        if (i % 3 == 0) {
          if (record) PutBack(taken);
          continue;
        }
        release(address);
        if (record) CountReallocated(taken);
        allocate(address, size);
        if (record) Malloc(address, size);
      } else {
        release(address);
        if (record) Free(address);
      }
    }
  };
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"}, [&] { run(true); }), 0);
  blocks.clear();
  model = {};
  run(false);
  const tools::Profile profile = process.Recorded();
  EXPECT_EQ(profile.totals.allocations, model.allocations);
  EXPECT_EQ(profile.totals.allocated_bytes, model.allocated);
  EXPECT_EQ(profile.totals.frees, model.frees);
  EXPECT_EQ(profile.totals.freed_bytes, model.freed);
  EXPECT_EQ(profile.totals.live_bytes, model.live);
  EXPECT_EQ(profile.totals.peak_live_bytes, model.peak);
  EXPECT_EQ(profile.live.size(), blocks.size());
  uint64_t peak_of_sites = 0;
  for (const tools::SiteCounts& site : profile.sites) peak_of_sites += site.peak_bytes;
  EXPECT_EQ(peak_of_sites, model.peak);
}

TEST(EventsTest, ThreadsThatHandBlocksOverLeaveNothing) {
  constexpr uint32_t kThreads = 4;
  constexpr int kRounds = 30'000;
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          std::atomic<uintptr_t> mailboxes[8] = {};
                          std::vector<std::thread> threads;
                          for (uint32_t t = 0; t < kThreads; ++t) {
                            threads.emplace_back([&mailboxes, t] {
                              uint64_t random = t + 1;
                              for (uint64_t i = 0; i < kRounds; ++i) {
                                const uintptr_t address = kHeap + (i * kThreads + t) * 64;
                                Malloc(address, 100'000);
                                const uintptr_t other = mailboxes[rt::NextRandom(&random) % 8].exchange(address);
                                if (other != 0) Free(other);
                              }
                            });
                          }
                          for (std::thread& thread : threads) thread.join();
                          for (std::atomic<uintptr_t>& mailbox : mailboxes) Free(mailbox.load());
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  EXPECT_EQ(profile.totals.allocations, uint64_t{kThreads} * kRounds);
  EXPECT_EQ(profile.totals.frees, uint64_t{kThreads} * kRounds);
  EXPECT_EQ(profile.totals.live_bytes, 0u);
  EXPECT_TRUE(profile.live.empty());
  EXPECT_GE(profile.totals.peak_live_bytes, 800'000u);
  EXPECT_EQ(profile.totals.dropped_allocations + profile.totals.dropped_frees, 0u);
}

TEST(EventsTest, EventsOfASignalHandlerWait) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 10);
                          EXPECT_TRUE(DeferAllocation(reinterpret_cast<void*>(kHeap + 64), 20));
                          EXPECT_TRUE(DeferAllocation(reinterpret_cast<void*>(kHeap + 128), 30));
                          EXPECT_TRUE(DeferFree(reinterpret_cast<void*>(kHeap + 64)));
                          Malloc(kHeap + 192, 40);
                          int room = 0;
                          while (DeferAllocation(reinterpret_cast<void*>(kHeap + 0x10000 + room * 64), 1)) ++room;
                          EXPECT_EQ(room, static_cast<int>(format::kDeferredEvents));
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  EXPECT_EQ(profile.totals.frees, 1u);
  EXPECT_EQ(profile.live.size(), 3u + format::kDeferredEvents);  // also those that still wait
  EXPECT_EQ(profile.totals.dropped_allocations, 1u);
  EXPECT_EQ(profile.totals.allocations - profile.totals.frees, profile.live.size());
}

TEST(EventsTest, ABlockThatWaitsCanBeFreed) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 10);
                          EXPECT_TRUE(DeferAllocation(reinterpret_cast<void*>(kHeap + 64), 20));
                          Free(kHeap + 64);  // not by a handler
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  EXPECT_EQ(profile.totals.allocations, 2u);
  EXPECT_EQ(profile.totals.frees, 1u);
  EXPECT_EQ(profile.live.size(), 1u);
}

TEST(EventsTest, SamplingIsUnbiasedForLiveBytes) {
  constexpr int kBlocks = 200'000;
  double sum = 0;
  double samples = 0;
  uint64_t truth = 0;
  for (int i = 0; i < kBlocks; ++i) truth += static_cast<uint64_t>(i) % 400 + 1;
  constexpr int kRuns = 8;
  for (int run = 0; run < kRuns; ++run) {
    RecordedProcess process;
    EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=16k", "MEMTRACE_SEED=" + std::to_string(run + 1)},
                          [] {
                            for (int i = 0; i < kBlocks; ++i)
                              Malloc(kHeap + static_cast<uintptr_t>(i) * 64, static_cast<size_t>(i) % 400 + 1);
                          }),
              0);
    const tools::Profile profile = process.Recorded();
    sum += static_cast<double>(profile.totals.live_bytes);
    samples += static_cast<double>(profile.live.size());
    EXPECT_NEAR(static_cast<double>(profile.work_bytes), static_cast<double>(truth), 512 * 1024);
  }
  // About 2,450 samples each: 2 % standard deviation of one run, four of the mean.
  EXPECT_NEAR(sum / kRuns, static_cast<double>(truth), 0.03 * static_cast<double>(truth));
  EXPECT_NEAR(samples / kRuns, static_cast<double>(truth) / 16384, 150);
}

TEST(EventsTest, FullTableThinsAndSaysSo) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_MAX=1MiB"},
                        [] {
                          for (uintptr_t i = 0; i < 300'000; ++i) Malloc(kHeap + i * 64, 100);
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  EXPECT_GT(profile.header.rate_index, 0u);
  EXPECT_EQ(profile.header.rates[1].reason, static_cast<uint32_t>(format::RateReason::kTableFull));
  EXPECT_NEAR(static_cast<double>(profile.totals.live_bytes), 30e6, 3e6);
  EXPECT_EQ(profile.header.drops[static_cast<int>(format::Drop::kTableFull)], 0u);
}

TEST(EventsTest, StopRecordingLetsTheRecordStand) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 10);
                          StopRecording();
                          Malloc(kHeap + 64, 20);
                          Free(kHeap + 64);
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  EXPECT_EQ(profile.totals.allocations, 1u);
  EXPECT_NE(profile.header.flags & format::kFlagStopped, 0u);
}

}  // namespace
}  // namespace memtrace::core
