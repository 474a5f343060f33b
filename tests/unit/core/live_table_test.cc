#include "libmemtrace/core/live_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "libmemtrace/format/weight.h"
#include "libmemtrace/rt/random.h"
#include "tests/unit/core/scratch_recording.h"

namespace memtrace::core {
namespace {

using format::ChunkKind;
using format::LiveBucket;

class LiveTableTest : public ::testing::Test {
 protected:
  LiveTableTest() { EXPECT_TRUE(table_.Open(scratch_.get())); }

  bool Insert(uint64_t address, uint64_t size = 100, uint32_t rate = 0) {
    LiveBlock replaced;
    return table_.Insert({address, size, static_cast<uint32_t>(size * 3 + 1), 7, rate}, &replaced);
  }
  // Inserts as the slow path does: the table is asked to grow every 64 entries.
  void Fill(const std::vector<uint64_t>& addresses) {
    for (size_t i = 0; i < addresses.size(); ++i) {
      ASSERT_TRUE(Insert(addresses[i], i % 5000));
      if (i % 64 == 0) table_.GrowFor(i);
    }
  }
  uint32_t buckets() { return scratch_.header().live_buckets; }
  // Every key in the file, as a reader finds them.
  std::multiset<uint64_t> Keys() {
    std::multiset<uint64_t> keys;
    const auto add = [&keys](const LiveBucket& bucket) {
      for (const uint64_t key : bucket.keys) {
        if (key != 0) keys.insert(format::KeyAddress(key));
      }
    };
    for (uint32_t i = 0; i < buckets(); ++i) add(*scratch_->At<LiveBucket, ChunkKind::kLive>(i));
    for (uint32_t i = 0; i < scratch_.header().overflow_buckets; ++i) {
      add(*scratch_->At<LiveBucket, ChunkKind::kOverflow>(i));
    }
    return keys;
  }

  ScratchRecording scratch_;
  LiveTable table_;
};

// What glibc hands out: small blocks next to each other in several arenas, and large ones page by page.
std::vector<uint64_t> HeapAddresses(size_t count) {
  std::vector<uint64_t> addresses;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t arena = uint64_t{0x7f0000000000} + (i % 7) * 0x4000000;
    addresses.push_back(i % 10 == 0 ? 0x7e0000000010 + i * 4096 : arena + (i / 7) * 48 + 16);
  }
  return addresses;
}

TEST_F(LiveTableTest, TakesWhatWasInsertedOnce) {
  const LiveBlock block{0x7f0012345670, (uint64_t{1} << 41) + 12345, 4242, format::EncodeBirth(1 << 20), 63};
  LiveBlock other;
  ASSERT_TRUE(table_.Insert(block, &other));
  EXPECT_EQ(other.address, 0u);
  LiveBlock taken;
  ASSERT_TRUE(table_.Take(block.address, &taken));
  EXPECT_EQ(taken.address, block.address);
  EXPECT_EQ(taken.size, block.size);
  EXPECT_EQ(taken.node, block.node);
  EXPECT_EQ(taken.birth, block.birth);
  EXPECT_EQ(taken.rate, block.rate);
  EXPECT_FALSE(table_.Take(block.address, &taken));
  EXPECT_TRUE(Keys().empty());
}

TEST_F(LiveTableTest, UnknownAddressesAreNotHere) {
  ASSERT_TRUE(Insert(0x1000));
  LiveBlock taken;
  for (const uint64_t address : {uint64_t{0}, uint64_t{0x1008}, uint64_t{0x2000}, format::kAddressMask, ~uint64_t{0},
                                 uint64_t{1} << 48 | 0x1000}) {
    EXPECT_FALSE(table_.Take(address, &taken)) << std::hex << address;
  }
}

TEST_F(LiveTableTest, StaleBlockAtTheSameAddressIsReplaced) {
  ASSERT_TRUE(Insert(0x5550, 10));
  LiveBlock replaced;
  ASSERT_TRUE(table_.Insert({0x5550, 20, 2, 9, 1}, &replaced));
  EXPECT_EQ(replaced.address, 0x5550u);
  EXPECT_EQ(replaced.size, 10u);
  EXPECT_EQ(Keys().size(), 1u);
  LiveBlock taken;
  ASSERT_TRUE(table_.Take(0x5550, &taken));
  EXPECT_EQ(taken.size, 20u);
}

TEST_F(LiveTableTest, WhatDoesNotFitIntoAKeyIsADrop) {
  EXPECT_FALSE(Insert(uint64_t{1} << 48));
  EXPECT_FALSE(Insert(0x1000, format::kMaxBlockBytes + 1));
  EXPECT_TRUE(Insert(0x1000, format::kMaxBlockBytes));
  EXPECT_EQ(scratch_.header().drops[static_cast<int>(format::Drop::kUnrepresentable)], 2u);
}

TEST_F(LiveTableTest, GrowthKeepsEveryBlock) {
  EXPECT_EQ(buckets(), 64u);
  const std::vector<uint64_t> addresses = HeapAddresses(200'000);
  Fill(addresses);
  EXPECT_GE(buckets(), 90'000u);
  const std::multiset<uint64_t> keys = Keys();
  EXPECT_EQ(keys.size(), addresses.size());
  for (size_t i = 0; i < addresses.size(); ++i) {
    ASSERT_EQ(keys.count(addresses[i]), 1u);
    LiveBlock taken;
    ASSERT_TRUE(table_.Take(addresses[i], &taken)) << i;
    ASSERT_EQ(taken.size, i % 5000);
    ASSERT_EQ(taken.node, i % 5000 * 3 + 1);
  }
  EXPECT_TRUE(Keys().empty());
}

TEST_F(LiveTableTest, GrowsAFewBucketsAtATimeAndNeverShrinks) {
  table_.GrowFor(1'000'000);
  const uint32_t first = buckets();
  EXPECT_GT(first, 64u);
  EXPECT_LE(first, 64u + 256u);  // some microseconds
  table_.GrowFor(10);
  EXPECT_EQ(buckets(), first);
}

TEST_F(LiveTableTest, EmptyChainsAreGivenBack) {
  const std::vector<uint64_t> addresses = HeapAddresses(10'000);
  std::vector<uint64_t> live(addresses.begin(), addresses.begin() + 5'000);
  for (const uint64_t address : live) {
    ASSERT_TRUE(Insert(address));
    table_.GrowFor(live.size());
  }
  uint64_t random = 7;
  LiveBlock taken;
  // Churn: each step frees a random block and takes an address that is free.
  std::vector<uint64_t> free(addresses.begin() + 5'000, addresses.end());
  const auto churn = [&](int steps) {
    for (int i = 0; i < steps; ++i) {
      uint64_t& out = live[rt::NextRandom(&random) % live.size()];
      uint64_t& in = free[rt::NextRandom(&random) % free.size()];
      ASSERT_TRUE(table_.Take(out, &taken));
      std::swap(out, in);
      ASSERT_TRUE(Insert(out));
    }
  };
  churn(200'000);
  const uint32_t overflow = scratch_.header().overflow_buckets;
  churn(1'000'000);
  EXPECT_LE(scratch_.header().overflow_buckets, overflow + overflow / 4);
  EXPECT_LE(scratch_.header().overflow_buckets, buckets() / 4);
  EXPECT_EQ(Keys().size(), live.size());
}

TEST_F(LiveTableTest, FullBucketsChain) {
  const std::vector<uint64_t> addresses = HeapAddresses(2'000);  // ten times what 64 buckets hold
  for (const uint64_t address : addresses) ASSERT_TRUE(Insert(address));
  EXPECT_EQ(buckets(), 64u);
  EXPECT_GT(scratch_.header().overflow_buckets, 500u);
  EXPECT_EQ(Keys().size(), addresses.size());
  while (table_.capacity() < addresses.size()) table_.GrowFor(addresses.size());
  EXPECT_EQ(Keys().size(), addresses.size());
  LiveBlock taken;
  for (const uint64_t address : addresses) ASSERT_TRUE(table_.Take(address, &taken));
  // Chains that were emptied take new blocks; they do not grow again.
  const uint32_t overflow = scratch_.header().overflow_buckets;
  for (const uint64_t address : addresses) ASSERT_TRUE(Insert(address));
  EXPECT_LE(scratch_.header().overflow_buckets, overflow + overflow / 10);
}

TEST_F(LiveTableTest, MillionBlocksTakeAtMost40BytesEach) {
  constexpr size_t kBlocks = 1'000'000;
  Fill(HeapAddresses(kBlocks));
  std::map<int, uint32_t> load;
  for (uint32_t i = 0; i < buckets(); ++i) {
    const LiveBucket& bucket = *scratch_->At<LiveBucket, ChunkKind::kLive>(i);
    int used = 0;
    for (const uint64_t key : bucket.keys) used += key != 0;
    ++load[used];
  }
  const uint64_t chunks = scratch_->ChunkCount(ChunkKind::kLive) + scratch_->ChunkCount(ChunkKind::kOverflow);
  const double bytes = static_cast<double>(chunks * format::kChunkBytes) / kBlocks;
  RecordProperty("bytes_per_block", std::to_string(bytes));
  RecordProperty("overflow_buckets", static_cast<int>(scratch_.header().overflow_buckets));
  EXPECT_LE(bytes, 40) << "overflow buckets: " << scratch_.header().overflow_buckets;
  EXPECT_LE(load[0], buckets() / 10);
  EXPECT_LE(scratch_.header().overflow_buckets, buckets() / 4);
}

TEST_F(LiveTableTest, ChurnLeavesNothingBehind) {
  uint64_t random = 42;
  const std::vector<uint64_t> addresses = HeapAddresses(20'000);
  std::vector<bool> live(addresses.size());
  size_t count = 0;
  LiveBlock taken;
  for (int i = 0; i < 500'000; ++i) {
    const size_t at = rt::NextRandom(&random) % addresses.size();
    if (live[at]) {
      ASSERT_TRUE(table_.Take(addresses[at], &taken));
    } else {
      ASSERT_TRUE(Insert(addresses[at]));
    }
    count += live[at] ? -1 : 1;
    live[at] = !live[at];
    table_.GrowFor(count);
  }
  EXPECT_EQ(Keys().size(), count);
  // Each chain has its bad moment once and keeps its bucket: a bound, not a drift.
  EXPECT_LE(scratch_.header().overflow_buckets, buckets() * 3 / 4);
}

TEST(LiveTableFullTest, RefusesAndCountsAndKeepsWhatItHas) {
  ScratchRecording scratch(kTestMiB);
  LiveTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  const std::vector<uint64_t> addresses = HeapAddresses(100'000);
  std::vector<uint64_t> accepted;
  LiveBlock block;
  for (const uint64_t address : addresses) {
    if (table.Insert({address, 8, 1, 1, 0}, &block)) accepted.push_back(address);
    table.GrowFor(accepted.size());
  }
  EXPECT_GE(accepted.size(), 20'000u);  // a MiB is 49,152 slots
  EXPECT_EQ(scratch.header().drops[static_cast<int>(format::Drop::kTableFull)], addresses.size() - accepted.size());
  for (const uint64_t address : accepted) ASSERT_TRUE(table.Take(address, &block));
}

// Sum of the weights of all blocks in the file.
struct Weights {
  int64_t bytes = 0;
  int64_t count_q16 = 0;
  uint64_t entries = 0;
};
Weights WeightsIn(ScratchRecording* scratch, const format::Rate* rates) {
  Weights sum;
  const auto add = [&](const LiveBucket& bucket) {
    for (int i = 0; i < 3; ++i) {
      if (bucket.keys[i] == 0) continue;
      const format::Weight weight = format::WeightOf(format::KeySize(bucket.keys[i], bucket.sizes[i]),
                                                     rates[format::KeyRate(bucket.keys[i])].bytes);
      sum.bytes += static_cast<int64_t>(weight.bytes);
      sum.count_q16 += static_cast<int64_t>(weight.count_q16);
      ++sum.entries;
    }
  };
  for (uint32_t i = 0; i < scratch->header().live_buckets; ++i) {
    add(*scratch->get()->At<LiveBucket, ChunkKind::kLive>(i));
  }
  for (uint32_t i = 0; i < scratch->header().overflow_buckets; ++i) {
    add(*scratch->get()->At<LiveBucket, ChunkKind::kOverflow>(i));
  }
  return sum;
}

constexpr format::Rate kRates[] = {{1, 0, 0, 0, 0}, {1024, 0, 0, 0, 0}, {4096, 0, 0, 0, 0}, {65536, 0, 0, 0, 0}};

// Runs of thinning 1 -> 1024 -> 4096 are unbiased, false alarms below 1 in 10,000 (four standard deviations).
TEST(LiveTableThinTest, IsUnbiasedAndTellsTheChange) {
  constexpr int kRuns = 150;
  constexpr uint64_t kBlocks = 1000;
  double truth = 0;
  double variance = 0;
  for (uint64_t i = 0; i < kBlocks; ++i) {
    const uint64_t size = 1 + i * i % 6000;
    const double p = format::Probability(size, 4096);
    truth += static_cast<double>(size);
    variance += static_cast<double>(size) * static_cast<double>(size) * (1 - p) / p;
  }
  double sum = 0;
  double count = 0;
  for (int run = 0; run < kRuns; ++run) {
    ScratchRecording scratch(4 * kTestMiB);
    LiveTable table;
    ASSERT_TRUE(table.Open(scratch.get()));
    LiveBlock replaced;
    for (uint64_t i = 0; i < kBlocks; ++i) {
      ASSERT_TRUE(table.Insert({0x10000 + i * 64, 1 + i * i % 6000, 1, 1, 0}, &replaced));
    }
    for (const uint32_t rate : {1u, 2u}) {
      const Weights before = WeightsIn(&scratch, kRates);
      static uint64_t dropped;
      dropped = 0;
      int64_t bytes = 0;
      int64_t count_q16 = 0;
      table.Thin(
          kRates, rate, static_cast<uint64_t>(run) * 4 + rate, [](uint64_t) { ++dropped; }, &bytes, &count_q16);
      const Weights after = WeightsIn(&scratch, kRates);
      ASSERT_EQ(after.bytes - before.bytes, bytes);
      ASSERT_EQ(after.count_q16 - before.count_q16, count_q16);
      ASSERT_EQ(before.entries - after.entries, dropped);
    }
    const Weights thinned = WeightsIn(&scratch, kRates);
    ASSERT_LT(thinned.entries, kBlocks * 2 / 3);
    sum += static_cast<double>(thinned.bytes);
    count += static_cast<double>(thinned.count_q16) / format::kCountOne;
  }
  EXPECT_NEAR(sum / kRuns, truth, 4 * std::sqrt(variance / kRuns));
  EXPECT_NEAR(count / kRuns, kBlocks, 0.15 * kBlocks);  // blocks of a few bytes stand for thousands
}

// After the brink the rate falls again: the table then holds blocks of a coarser rate than the one that it is thinned
// to.
TEST(LiveTableThinTest, LeavesBlocksOfACoarserRateAlone) {
  ScratchRecording scratch(4 * kTestMiB);
  LiveTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  LiveBlock block;
  ASSERT_TRUE(table.Insert({0x1000, 100, 1, 1, 3}, &block));
  static uint64_t dropped;
  dropped = 0;
  int64_t bytes = 0;
  int64_t count_q16 = 0;
  table.Thin(
      kRates, 1, 1, [](uint64_t) { ++dropped; }, &bytes, &count_q16);
  EXPECT_EQ(dropped, 0u);
  EXPECT_EQ(bytes, 0);
  ASSERT_TRUE(table.Take(0x1000, &block));
  EXPECT_EQ(block.rate, 3u);
}

}  // namespace
}  // namespace memtrace::core
