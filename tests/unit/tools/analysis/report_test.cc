#include "tools/analysis/report.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/tools/recording_builder.h"
#include "tools/analysis/work_clock.h"

namespace memtrace::tools {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kNoProc[] = "/nonexistent";

SymbolOptions NoSymbols() {
  SymbolOptions options;
  options.enabled = false;
  return options;
}

// Two places in one function of this program: as an unrolled loop, one name and two program counters.
[[gnu::noinline]] int UnrolledLoop(int x) {
  volatile int y = x;
  y = y * 3;
  return y + 1;
}

uint64_t OwnOffset(int (*function)(int)) {
  Dl_info info{};
  EXPECT_NE(dladdr(reinterpret_cast<void*>(function), &info), 0);
  return reinterpret_cast<uint64_t>(function) - reinterpret_cast<uint64_t>(info.dli_fbase);
}

class ReportTest : public testing::Test {
 protected:
  Report Build(const RecordingBuilder& builder) {
    ProcessStates states;
    states.push_back(builder.Decode());
    return BuildReport(std::move(states), &symbolizer_, kNoProc);
  }

  Symbolizer symbolizer_{NoSymbols()};
};

// `blocks` leaked at one site among request buffers that die at once.
RecordingBuilder LeakingService(int blocks) {
  RecordingBuilder builder;
  builder.AddModule("/bin/service", "\xab\xcd");
  const uint32_t leak = builder.AddStack({0x1000, 0x1200});
  const uint32_t buffers = builder.AddStack({0x1000, 0x2000});
  for (int i = 0; i < blocks; ++i) {
    builder.Allocate(0x100000 + static_cast<uint64_t>(i) * 4096, 1000, leak);
    builder.AllocateAndFree(4000, 1, buffers, 4000);
  }
  format::TimelinePoint point{};
  point.work_bytes = builder.header().work_bytes;
  point.time_ns = RecordingBuilder::kStartNs + 100'000'000'000;
  point.cgroup_usage_bytes = 20 << 20;
  point.cgroup_working_set_bytes = 10 << 20;
  point.live_bytes = builder.header().live_bytes;
  builder.AddTimeline(point);
  builder.header().cgroup_limit_bytes = 64 << 20;
  return builder;
}

TEST_F(ReportTest, FindsTheLeakAndItsRate) {
  const Report report = Build(LeakingService(1000));
  ASSERT_THAT(report.suspects, SizeIs(1));
  const Suspect& suspect = report.suspects[0];
  EXPECT_EQ(report.table.sites[suspect.site].live_bytes, 1'000'000u);
  EXPECT_EQ(suspect.kind, SuspectKind::kGrowing);
  EXPECT_DOUBLE_EQ(suspect.survival.never_dies, 1);
  EXPECT_NEAR(suspect.growth_bytes_per_s.value_or(0), 10000, 100);  // 1 MB in 100 s
  EXPECT_NEAR(suspect.age_p50_s.value_or(0), 50, 1);
  EXPECT_NEAR(suspect.age_p90_s.value_or(0), 90, 1);
  EXPECT_EQ(report.verdict.cause, "native-leak");
  EXPECT_NEAR(report.verdict.time_to_limit_s.value_or(0), (54 << 20) / 10000.0, 60);
  EXPECT_EQ(report.state, "killed");
}

TEST_F(ReportTest, StacksThatReadTheSameAreOneSuspect) {
  const uint64_t pc = OwnOffset(&UnrolledLoop);
  ASSERT_NE(UnrolledLoop(1), 0);
  Symbolizer names({});
  const auto build = [&](uint64_t blocks) {
    RecordingBuilder builder;
    builder.AddModule(std::filesystem::read_symlink("/proc/self/exe").string());
    const uint32_t stacks[] = {builder.AddStack({pc + 1}), builder.AddStack({pc + 2})};
    const uint32_t buffers = builder.AddStack({0x1});
    for (uint64_t i = 0; i < blocks; ++i) {
      builder.Allocate(0x100000 + i * 4096, 1000, stacks[i % 4 == 0]);  // a quarter from the second place
      builder.AllocateAndFree(4000, 1, buffers, 4000);
    }
    return builder.Decode();
  };
  ProcessStates states;
  for (const uint64_t blocks : {600, 800, 1000}) states.push_back(build(blocks));
  const Report report = BuildReport(std::move(states), &names, kNoProc);
  ASSERT_THAT(report.table.sites, SizeIs(3));
  ASSERT_THAT(report.suspects, SizeIs(1));
  const Suspect& suspect = report.suspects[0];
  EXPECT_EQ(report.table.sites[suspect.site].live_bytes, 750'000u);  // the larger one names it
  EXPECT_EQ(suspect.live_bytes, 1'000'000u);
  EXPECT_EQ(suspect.live_allocations, 1000u);
  EXPECT_GT(suspect.survival.window_samples, 500);  // the larger one alone has 435
  EXPECT_THAT(suspect.why, HasSubstr("585.9 KiB in the first, 976.6 KiB now"));
}

TEST_F(ReportTest, NoLeakIsSaid) {
  RecordingBuilder builder;
  builder.AddModule("/bin/service");
  builder.AllocateAndFree(4000, 1000, builder.AddStack({0x1000}), 4000);
  const Report report = Build(builder);
  EXPECT_THAT(report.suspects, IsEmpty());
  EXPECT_EQ(report.verdict.cause, "none");
  EXPECT_THAT(report.verdict.summary, HasSubstr("No leak suspect"));
}

// As a queue does that falls behind: everything is freed, later and later.
TEST_F(ReportTest, AHeapThatGrowsWithoutASuspectIsSaid) {
  for (const bool falls : {false, true}) {
    RecordingBuilder builder;
    builder.AddModule("/bin/service");
    builder.AllocateAndFree(4000, 1000, builder.AddStack({0x1000}), 4000);
    for (uint64_t i = 0; i < 40; ++i) {
      format::TimelinePoint point{};
      point.time_ns = RecordingBuilder::kStartNs + i * 1'000'000'000;
      point.work_bytes = i * 100'000;
      point.live_bytes = (falls && i == 35 ? 20 : i) * 1'000'000;
      builder.AddTimeline(point);
    }
    const Report report = Build(builder);
    EXPECT_EQ(report.verdict.cause, "none");
    EXPECT_EQ(report.verdict.summary.find("grew all the time, from 9.5 MiB to 37.2 MiB") == std::string::npos, falls)
        << report.verdict.summary;
    EXPECT_EQ(report.verdict.confidence, falls ? Confidence::kLikely : Confidence::kPossible);
  }
}

TEST_F(ReportTest, AFewSamplesCannotTell) {
  for (const uint64_t size : {1000, 300'000}) {  // sampled, and recorded for certain
    RecordingBuilder builder;
    builder.AddModule("/bin/service");
    builder.header().rates[0].bytes = 65536;
    const uint32_t table = builder.AddStack({0x1000});
    for (uint64_t i = 0; i < 20; ++i) builder.Allocate(0x100000 + i * 0x100000, size, table);
    builder.AllocateAndFree(4'000'000, 1000, builder.AddStack({0x2000}), 4'000'000);
    const Report report = Build(builder);
    EXPECT_THAT(report.suspects, IsEmpty());
    EXPECT_EQ(report.verdict.cause, size == 1000 ? "unknown" : "none") << report.verdict.summary;
    EXPECT_THAT(report.verdict.summary,
                HasSubstr(size == 1000 ? "Too little was recorded to tell" : "No leak suspect"));
    EXPECT_EQ(report.verdict.confidence, Confidence::kPossible);
    EXPECT_THAT(report.verdict.summary, HasSubstr("one block was recorded of each 64."));
    EXPECT_THAT(report.verdict.advice, Contains(HasSubstr("MEMTRACE_SAMPLE=1")));
  }
}

TEST_F(ReportTest, DropsAreSaidByWhatTheyMean) {
  RecordingBuilder builder = LeakingService(100);
  const auto drop = [&builder](format::Drop cause, uint64_t count) {
    builder.header().drops[static_cast<size_t>(cause)] = count;
  };
  drop(format::Drop::kStackDifference, 3);
  const std::string wrong = Build(builder).blind_spots.at(0);
  EXPECT_THAT(wrong, HasSubstr("MEMTRACE_UNWINDER=verify found stacks that the incremental unwind got wrong: 3"));
  drop(format::Drop::kStackDifference, 0);

  drop(format::Drop::kSiteTableFull, 4);
  drop(format::Drop::kNodeTableFull, 5);
  EXPECT_THAT(Build(builder).blind_spots.at(0),
              HasSubstr("under the unknown stack instead of their own (site table full: 4; stack table full: 5)"));

  drop(format::Drop::kTableFull, 6);
  builder.thread().buffer.dropped_allocations = 6;
  Report report = Build(builder);
  EXPECT_TRUE(report.DropsAreCounted());
  EXPECT_EQ(report.blind_spots.at(0), "Not recorded: 6 allocations, 0 frees (live table full: 6).");
  EXPECT_THAT(report.DropReason(), HasSubstr("live table full: 6; site table full: 4"));

  drop(format::Drop::kNoThreadBuffer, 1);  // nobody counts what that thread does
  report = Build(builder);
  EXPECT_FALSE(report.DropsAreCounted());
  EXPECT_THAT(report.blind_spots.at(0), HasSubstr("Not recorded: at least 6 allocations"));
}

// Recorded finely at first: many samples, and nearly all of the heap rests on the others.
TEST_F(ReportTest, ManySmallSamplesDoNotHideThatFewAreLarge) {
  RecordingBuilder builder;
  builder.AddModule("/bin/service");
  builder.header().rates[0].bytes = 4096;
  builder.header().rates[1].bytes = 1 << 20;
  const uint32_t table = builder.AddStack({0x1000});
  for (uint64_t i = 0; i < 100; ++i) builder.AddLive(0x100000 + i * 0x1000, 100, table, 0, 0);
  for (uint64_t i = 0; i < 6; ++i) builder.AddLive(0x900000 + i * 0x1000, 100, table, 0, 1);
  builder.AllocateAndFree(4'000'000, 1000, builder.AddStack({0x2000}), 4'000'000);
  const Report report = Build(builder);
  EXPECT_EQ(report.verdict.cause, "unknown") << report.verdict.summary;
  EXPECT_THAT(report.verdict.summary, HasSubstr("a leak of less than 7."));
}

// Tables, and then it idles: the work clock stands still, and the time line says so.
TEST_F(ReportTest, WhatWasAllocatedAtOnceIsNoLeakYet) {
  for (const uint64_t seconds : {9, 2}) {
    RecordingBuilder builder;
    builder.AddModule("/bin/service");
    const uint32_t table = builder.AddStack({0x1000});
    for (uint64_t i = 0; i < 2000; ++i) builder.Allocate(0x100000 + i * 0x1000, 1000, table);
    builder.AllocateAndFree(1000, 100, builder.AddStack({0x2000}), 1000);
    format::TimelinePoint point{};
    point.time_ns = RecordingBuilder::kStartNs + 1'500'000'000;
    point.work_bytes = builder.header().work_bytes;
    builder.AddTimeline(point);
    builder.header().process_start_ns = RecordingBuilder::kStartNs;
    builder.header().end_ns = RecordingBuilder::kStartNs + seconds * 1'000'000'000;
    const Report report = Build(builder);
    ASSERT_THAT(report.suspects, SizeIs(1));
    EXPECT_EQ(report.suspects[0].kind, seconds == 9 ? SuspectKind::kStillFilling : SuspectKind::kGrowing);
  }
}

TEST_F(ReportTest, NothingRecordedIsUnknown) { EXPECT_EQ(Build(RecordingBuilder()).verdict.cause, "unknown"); }

TEST_F(ReportTest, AnExecutableWithItsOwnMallocIsUnknown) {
  RecordingBuilder builder;
  builder.AddModule("/bin/service");
  builder.AllocateAndFree(4000, 1000, builder.AddStack({0x1000}), 4000);
  builder.header().flags = format::kFlagExecutableHasOwnMalloc;
  const Report report = Build(builder);
  EXPECT_EQ(report.verdict.cause, "unknown");
  EXPECT_THAT(report.blind_spots, SizeIs(1));
}

TEST_F(ReportTest, EqualFramesAtOtherAddressesAreOneSite) {
  RecordingBuilder builder;
  builder.AddModule("/opt/plugin.so", "\x01\x02", 0x700000000000);
  builder.AddModule("/opt/plugin.so", "\x01\x02", 0x7e0000000000);  // loaded again elsewhere
  const uint32_t first = builder.AddStack({0x1000, 0x1200}, 0);
  const uint32_t second = builder.AddStack({0x1000, 0x1200}, 1);
  builder.Allocate(0x5000, 100, first);
  builder.Allocate(0x6000, 50, second);
  const Report report = Build(builder);
  ASSERT_THAT(report.table.sites, SizeIs(1));
  EXPECT_EQ(report.table.sites[0].live_bytes, 150u);
  EXPECT_EQ(report.table.sites[0].allocations, 2u);
}

TEST_F(ReportTest, OurOwnFramesAreNotShown) {
  RecordingBuilder builder;
  builder.AddModule("/bin/program");
  const uint16_t ours = builder.AddModule("/usr/lib/memtrace/libmemtrace.so", "", 0x7f0000000000);
  const uint32_t caller = builder.AddStack({0x1000, 0x1200});
  const uint32_t inner = builder.AddNode({0x7f0000000100 | uint64_t{ours} << 48, caller, 3, 0});
  builder.Allocate(0x5000, 100, inner);
  builder.Allocate(0x6000, 100, caller);
  const Report report = Build(builder);
  ASSERT_THAT(report.table.sites, SizeIs(1));
  EXPECT_THAT(report.frames->Stack(inner), SizeIs(2));
}

TEST_F(ReportTest, SnapshotsThatGrowConfirm) {
  ProcessStates states;
  for (const int blocks : {600, 800}) {
    RecordingBuilder builder = LeakingService(blocks);
    builder.header().state = static_cast<uint32_t>(format::State::kSnapshot);
    states.push_back(builder.Decode());
  }
  states.push_back(LeakingService(1000).Decode());
  const Report report = BuildReport(std::move(states), &symbolizer_, kNoProc);
  ASSERT_THAT(report.suspects, SizeIs(1));
  EXPECT_EQ(report.suspects[0].confidence, Confidence::kConfirmed);
  EXPECT_THAT(report.suspects[0].why, HasSubstr("from snapshot to snapshot"));
}

TEST_F(ReportTest, SampledSiteWithoutLiveBlocksIsNotCertainlyEmpty) {
  RecordingBuilder builder;
  builder.AddModule("/bin/program");
  builder.header().rates[0].bytes = 65536;
  builder.header().sampling = static_cast<uint32_t>(format::Sampling::kFixed);
  format::SiteCell cell{};
  cell.node = builder.AddStack({0x1000});
  cell.alloc_bytes = cell.free_bytes = 65536 * 10;
  cell.alloc_count_q16 = cell.free_count_q16 = 655 * format::kCountOne;
  builder.AddSite(cell);
  const Site site = Build(builder).table.sites.at(0);
  EXPECT_EQ(site.live_bytes, 0u);
  EXPECT_EQ(site.live_bytes_ci95.low, 0u);
  EXPECT_NEAR(static_cast<double>(site.live_bytes_ci95.high), 2.51 * 65536, 2000);
}

TEST_F(ReportTest, ACellThatWasClaimedAndNeverCountedIsNoSite) {
  RecordingBuilder builder;
  builder.AddModule("/bin/program");
  const uint32_t used = builder.AddStack({0x1000});
  builder.Allocate(0x5000, 0, used);  // malloc(0) is a block
  for (const uint32_t node : {uint32_t{0}, builder.AddStack({0x2000})}) {
    format::SiteCell claimed{};
    claimed.node = node;
    builder.AddSite(claimed);
  }
  builder.AddColumn(0, 3, 100);
  const Report report = Build(builder);
  ASSERT_THAT(report.table.sites, SizeIs(1));
  EXPECT_EQ(report.table.sites[0].node, used);
  EXPECT_EQ(report.table.sites[0].live_allocations, 1u);
}

TEST(WorkClockTest, InterpolatesBetweenPoints) {
  RecordingBuilder builder;
  builder.header().work_bytes = 3000;
  for (const auto& [seconds, work] : {std::pair{10, 1000}, {20, 1000}, {30, 3000}, {25, 99999}}) {
    format::TimelinePoint point{};
    point.time_ns = RecordingBuilder::kStartNs + static_cast<uint64_t>(seconds) * 1'000'000'000;
    point.work_bytes = static_cast<uint64_t>(work);
    builder.AddTimeline(point);
  }
  const WorkClock clock(builder.Decode(), RecordingBuilder::kStartNs + 40'000'000'000);
  EXPECT_DOUBLE_EQ(clock.SecondsAgo(500), 35);
  EXPECT_DOUBLE_EQ(clock.SecondsAgo(2000), 15);
  EXPECT_DOUBLE_EQ(clock.SecondsAgo(5000), 0);
  EXPECT_DOUBLE_EQ(clock.BytesPerSecond(500).value_or(0), 2500.0 / 35);
  EXPECT_EQ(clock.BytesPerSecond(9000), std::nullopt);
}

}  // namespace
}  // namespace memtrace::tools
