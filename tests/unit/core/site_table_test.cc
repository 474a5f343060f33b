#include "libmemtrace/core/site_table.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "libmemtrace/rt/random.h"
#include "tests/unit/core/scratch_recording.h"

namespace memtrace::core {
namespace {

using format::ChunkKind;
using format::ColumnCell;
using format::SiteCell;
using format::Weight;

struct Sums {
  uint64_t alloc_count_q16 = 0;
  uint64_t alloc_bytes = 0;
  uint64_t free_count_q16 = 0;
  uint64_t free_bytes = 0;
  uint64_t temporary_count_q16 = 0;
  bool operator==(const Sums&) const = default;
};

// What a reader makes of the tables; also what the program did, when a test keeps it itself.
struct Account {
  std::map<uint32_t, Sums> sites;
  std::map<std::pair<uint32_t, int>, uint64_t> columns;
  std::map<std::pair<uint32_t, int>, uint64_t> held;
  std::map<uint32_t, uint64_t> peaks;  // bytes at the process's peak, those that are not 0

  void Allocate(uint32_t site, Weight weight, uint64_t work_bytes) {
    sites[site].alloc_count_q16 += weight.count_q16;
    sites[site].alloc_bytes += weight.bytes;
    AddColumn(site, format::WorkColumn(work_bytes), weight.bytes);
  }
  void Free(uint32_t site, Weight weight, uint64_t age_bytes, bool temporary) {
    sites[site].free_count_q16 += weight.count_q16;
    sites[site].free_bytes += weight.bytes;
    if (temporary) sites[site].temporary_count_q16 += weight.count_q16;
    AddColumn(site, format::AgeColumn(age_bytes), weight.bytes);
  }
  void AddColumn(uint32_t site, int column, uint64_t bytes) {
    if (bytes != 0) columns[{site, column}] += bytes;
  }
};

Account Read(ScratchRecording* scratch) {
  Account account;
  for (uint32_t c = 0; c < scratch->get()->ChunkCount(ChunkKind::kSite); ++c) {
    for (uint32_t i = 0; i < format::kSitesPerChunk; ++i) {
      const SiteCell& cell = reinterpret_cast<SiteCell*>(scratch->get()->Chunk(ChunkKind::kSite, c))[i];
      if (cell.node == 0) continue;
      Sums& sums = account.sites[cell.node];
      sums.alloc_count_q16 += cell.alloc_count_q16;
      sums.alloc_bytes += cell.alloc_bytes;
      sums.free_count_q16 += cell.free_count_q16;
      sums.free_bytes += cell.free_bytes;
      sums.temporary_count_q16 += cell.temporary_count_q16;
      const bool fixed = cell.peak_epoch == scratch->header().peak_epoch;
      account.peaks[cell.node] += fixed ? cell.peak_bytes : cell.alloc_bytes - cell.free_bytes;
      for (const uint32_t column : cell.columns) {
        if (column == 0) continue;
        account.AddColumn(cell.node, static_cast<int>(column >> format::kColumnShift) - 1,
                          column & format::kColumnBytesMask);
      }
    }
  }
  for (uint32_t c = 0; c < scratch->get()->ChunkCount(ChunkKind::kColumn); ++c) {
    for (uint32_t i = 0; i < format::kColumnsPerChunk; ++i) {
      const ColumnCell& cell = reinterpret_cast<ColumnCell*>(scratch->get()->Chunk(ChunkKind::kColumn, c))[i];
      if (cell.key == 0) continue;
      const int column = format::ColumnIndex(cell.key);
      auto& columns = column < format::kHeldColumns ? account.columns : account.held;
      if (cell.bytes != 0) columns[{format::ColumnNode(cell.key), column}] += cell.bytes;
    }
  }
  std::erase_if(account.peaks, [](const auto& peak) { return peak.second == 0; });
  return account;
}

// What each of some threads has in private memory.
using Indexes = std::vector<SiteIndex>;

// A few of them are larger than a slot of a cell holds.
Weight RandomWeight(uint64_t* random) {
  const uint64_t size = rt::NextRandom(random) % (rt::NextRandom(random) % 50 == 0 ? uint64_t{1} << 34 : 3000);
  return {size, format::kCountOne + rt::NextRandom(random) % format::kCountOne};
}

// Random events of many threads over more sites than one generation holds.
TEST(SiteTableTest, CellsAddUpToTheTruth) {
  ScratchRecording scratch;
  SiteTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  Indexes indexes(5);
  Account truth;
  uint64_t random = 11;
  for (int i = 0; i < 300'000; ++i) {
    const auto writer = static_cast<uint32_t>(rt::NextRandom(&random) % indexes.size());
    auto site = static_cast<uint32_t>(rt::NextRandom(&random) % 3000) + 1;
    if (site % 100 == 0) site = format::kUnknownSite;
    const Weight weight = RandomWeight(&random);
    const uint64_t clock = rt::NextRandom(&random) >> (rt::NextRandom(&random) % 64);
    const bool temporary = i % 7 == 0;
    if (i % 3 == 0) {
      table.CountFree(writer, &indexes[writer], site, weight, clock, temporary);
      truth.Free(site, weight, clock, temporary);
    } else {
      table.CountAllocation(writer, &indexes[writer], site, weight, clock);
      truth.Allocate(site, weight, clock);
    }
  }
  const Account found = Read(&scratch);
  EXPECT_EQ(found.sites, truth.sites);
  EXPECT_EQ(found.columns, truth.columns);
  EXPECT_EQ(scratch->ChunkCount(ChunkKind::kSite), (2971u * 5 + format::kSitesPerChunk) / format::kSitesPerChunk);
  EXPECT_GT(scratch->ChunkCount(ChunkKind::kColumn), 1u);
  EXPECT_EQ(scratch.header().drops[static_cast<int>(format::Drop::kSiteTableFull)], 0u);
}

TEST(SiteTableTest, ASlotThatIsFullGoesToTheSharedCells) {
  ScratchRecording scratch;
  SiteTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  SiteIndex index;
  Account truth;
  constexpr uint32_t kSite = 7;
  constexpr uint64_t kWork = uint64_t{1} << 40;
  for (const uint64_t bytes : {uint64_t{format::kColumnBytesMask} - 1, uint64_t{1}, uint64_t{1}, uint64_t{5},
                               uint64_t{format::kColumnBytesMask} + 1, uint64_t{3} << 33, uint64_t{100}}) {
    const Weight weight{bytes, format::kCountOne};
    table.CountAllocation(0, &index, kSite, weight, kWork);
    truth.Allocate(kSite, weight, kWork);
    table.CountFree(0, &index, kSite, weight, kWork, false);
    truth.Free(kSite, weight, kWork, false);
    ASSERT_EQ(Read(&scratch).columns, truth.columns) << bytes;
  }
  EXPECT_EQ(Read(&scratch).held.size(), 0u);  // it had nothing before, and the octave has been one all the while
}

// At its first allocation in an octave of work, each thread's cell notes what it held.
TEST(SiteTableTest, WhatWasHeldBeforeAnOctaveOfWorkIsNoted) {
  ScratchRecording scratch;
  SiteTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  Indexes indexes(2);
  const Weight weight{100, format::kCountOne};
  constexpr uint32_t kSite = 7;
  constexpr uint64_t kFirst = 1 << 20;
  const auto held = [](uint64_t work) { return format::WorkColumn(work) - format::kOctaves + format::kHeldColumns; };
  for (int i = 0; i < 5; ++i) table.CountAllocation(0, &indexes[0], kSite, weight, kFirst);
  table.CountFree(0, &indexes[0], kSite, weight, 0, false);
  EXPECT_TRUE(Read(&scratch).held.empty());
  for (int i = 0; i < 3; ++i) table.CountAllocation(0, &indexes[0], kSite, weight, 2 * kFirst);
  table.CountAllocation(1, &indexes[1], kSite, weight, 2 * kFirst);  // its first ever
  table.CountAllocation(1, &indexes[1], kSite, weight, 4 * kFirst);
  const std::map<std::pair<uint32_t, int>, uint64_t> expected = {{{kSite, held(2 * kFirst)}, 400},
                                                                 {{kSite, held(4 * kFirst)}, 100}};
  EXPECT_EQ(Read(&scratch).held, expected);
}

// peak_bytes against a model that copies all sites whenever the process reaches a new peak.
TEST(SiteTableTest, PeakOfEverySiteIsThatOfTheProcessesPeak) {
  ScratchRecording scratch;
  SiteTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  SiteIndex index{};
  uint64_t random = 12;
  std::map<uint32_t, uint64_t> live_by_site;
  std::map<uint32_t, uint64_t> at_peak;
  std::vector<std::pair<uint32_t, Weight>> blocks;
  uint64_t live = 0;
  uint64_t peak = 0;
  for (int i = 0; i < 30'000; ++i) {
    // Tides, so that there are new peaks and long times without one.
    const bool rising = i / 2000 % 2 == 0;
    if (blocks.empty() || rt::NextRandom(&random) % 100 < (rising ? 60 : 45)) {
      const auto site = static_cast<uint32_t>(rt::NextRandom(&random) % 1500) + 1;
      const Weight weight = RandomWeight(&random);
      table.CountAllocation(0, &index, site, weight, 0);
      blocks.emplace_back(site, weight);
      live_by_site[site] += weight.bytes;
      live += weight.bytes;
      if (live > peak) {
        peak = live;
        scratch.header().peak_epoch += 1;  // as the slow path does, after it has counted
        if (i % 50 == 0) at_peak = live_by_site;
      }
    } else {
      std::swap(blocks[rt::NextRandom(&random) % blocks.size()], blocks.back());
      const auto [site, weight] = blocks.back();
      blocks.pop_back();
      if (live == peak) at_peak = live_by_site;
      table.CountFree(0, &index, site, weight, 0, false);
      live_by_site[site] -= weight.bytes;
      live -= weight.bytes;
    }
  }
  if (live == peak) at_peak = live_by_site;
  std::erase_if(at_peak, [](const auto& site) { return site.second == 0; });
  EXPECT_EQ(Read(&scratch).peaks, at_peak);
}

TEST(SiteTableTest, FullTableCountsUnderTheUnknownSite) {
  ScratchRecording scratch(kTestMiB);
  SiteTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  Account truth;
  constexpr uint32_t kWriters = 40;
  Indexes indexes(kWriters);
  for (uint32_t site = 1; site < 20'000; ++site) {
    table.CountAllocation(site % kWriters, &indexes[site % kWriters], site, {site, format::kCountOne}, 0);
    truth.Allocate(1, {site, format::kCountOne}, 0);
  }
  const Account found = Read(&scratch);
  uint64_t bytes = 0;
  for (const auto& [site, sums] : found.sites) bytes += sums.alloc_bytes;
  EXPECT_EQ(bytes, truth.sites[1].alloc_bytes) << "nothing may be lost";
  EXPECT_GT(found.sites.at(format::kUnknownSite).alloc_bytes, 0u);
  EXPECT_EQ(scratch.header().drops[static_cast<int>(format::Drop::kSiteTableFull)],
            found.sites.at(format::kUnknownSite).alloc_count_q16 / format::kCountOne);
  EXPECT_GE(scratch->AddChunk(ChunkKind::kLive), 0);
}

TEST(SiteTableTest, ThreadsDoNotDisturbEachOther) {
  ScratchRecording scratch;
  SiteTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  std::vector<Account> truths(4);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < truths.size(); ++t) {
    threads.emplace_back([&, t] {
      SiteIndex index{};
      uint64_t random = t + 1;
      for (int i = 0; i < 40'000; ++i) {
        const auto site = static_cast<uint32_t>(rt::NextRandom(&random) % 2000) + 1;
        const Weight weight = RandomWeight(&random);
        const uint64_t clock = rt::NextRandom(&random) >> (rt::NextRandom(&random) % 64);
        table.CountAllocation(t, &index, site, weight, clock);
        truths[t].Allocate(site, weight, clock);
        table.CountFree(t, &index, site, weight, clock, true);
        truths[t].Free(site, weight, clock, true);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Account truth;
  for (const Account& part : truths) {
    for (const auto& [site, sums] : part.sites) {
      truth.sites[site].alloc_count_q16 += sums.alloc_count_q16;
      truth.sites[site].alloc_bytes += sums.alloc_bytes;
      truth.sites[site].free_count_q16 += sums.free_count_q16;
      truth.sites[site].free_bytes += sums.free_bytes;
      truth.sites[site].temporary_count_q16 += sums.temporary_count_q16;
    }
    for (const auto& [key, bytes] : part.columns) truth.columns[key] += bytes;
  }
  const Account found = Read(&scratch);
  EXPECT_EQ(found.sites, truth.sites);
  EXPECT_EQ(found.columns, truth.columns);
}

}  // namespace
}  // namespace memtrace::core
