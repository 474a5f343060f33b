#include "libmemtrace/core/timeline.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "libmemtrace/core/thread_buffers.h"
#include "tests/unit/core/recorded_process.h"

namespace memtrace::core {
namespace {

constexpr uintptr_t kHeap = 0x7f1200000000;

TEST(TimelineTest, PointHoldsTheMoment) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 100'000);
                          RecordPoint();
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  ASSERT_FALSE(profile.timeline.empty());
  const format::TimelinePoint& point = profile.timeline.back();
  EXPECT_EQ(point.work_bytes, 100'000u);
  EXPECT_EQ(point.live_bytes, 100'000u);
  EXPECT_EQ(point.live_blocks, 1u);
  EXPECT_GE(point.time_ns, profile.header.start_ns);
  EXPECT_GT(point.rss_bytes, 4096u);
  EXPECT_NE(point.rss_bytes, format::kUnknown);
}

TEST(TimelineTest, ThinningKeepsFirstAndLastAndSpreadsEvenly) {
  constexpr uint64_t kPoints = 5000;
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          for (uint64_t i = 1; i <= kPoints; ++i) {
                            Malloc(kHeap, 100'000);  // always the same block: live bytes stay, work does not
                            Free(kHeap);
                            RecordPoint();
                          }
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  EXPECT_LE(profile.timeline.size(), profile.header.timeline_capacity);
  EXPECT_GE(profile.timeline.size(), profile.header.timeline_capacity / 2);
  EXPECT_LE(profile.timeline.front().work_bytes, 100'000u);
  EXPECT_EQ(profile.timeline.back().work_bytes, kPoints * 100'000);
  uint64_t widest = 0;
  for (size_t i = 1; i < profile.timeline.size(); ++i) {
    EXPECT_GE(profile.timeline[i].time_ns, profile.timeline[i - 1].time_ns);
    widest = std::max(widest, profile.timeline[i].work_bytes - profile.timeline[i - 1].work_bytes);
  }
  EXPECT_LE(widest, 2u * 16 * 100'000);  // 5,000 points, every 16th in 512 slots; one is lost at the last thinning
}

TEST(TimelineTest, APointIsDueAfterAQuarterOfASecondOnly) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_SNAPSHOT_AT=none"},
                        [] {
                          g_process.cgroup = {};
                          for (int i = 0; i < 20'000; ++i) {
                            Malloc(kHeap, 10);
                            Free(kHeap);
                          }
                          rt::SleepNanoseconds(260'000'000);
                          for (int i = 0; i < 200; ++i) {
                            Malloc(kHeap, 10);
                            Free(kHeap);
                          }
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  ASSERT_GE(profile.timeline.size(), 2u);
  const uint64_t took_ns = profile.timeline.back().time_ns - profile.timeline.front().time_ns;
  EXPECT_LE(profile.timeline.size(), took_ns / 240'000'000 + 2);
}

void ForbidLocking() {
  const rlimit none = {0, 0};
  ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &none), 0);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  ASSERT_EQ(syscall(SYS_capget, &header, data), 0);
  data[0].effective &= ~(1u << CAP_IPC_LOCK);
  ASSERT_EQ(syscall(SYS_capset, &header, data), 0);
}

// A memory cgroup made of files: usage climbs over the thresholds while the heap grows.
class ThresholdTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kLimit = 100 * kTestMiB;

  // In the child.
  void UseTree() {
    g_process.cgroup = {};
    g_process.cgroup.version = 2;
    g_process.cgroup.limit_bytes = kLimit;
    for (char* path : {g_process.cgroup.directory, g_process.cgroup.limit_directory}) {
      rt::TextBuilder(path, rt::kCgroupPathBytes).Add(tree_.In("/cgroup").c_str());
    }
    SetUsage(10);
  }
  void SetUsage(uint64_t percent) {
    tree_.Write("/cgroup/memory.current", std::to_string(kLimit / 100 * percent) + "\n");
    tree_.Write("/cgroup/memory.max", std::to_string(kLimit) + "\n");
    tree_.Write("/cgroup/memory.stat", "anon 1000\ninactive_file 0\n");
  }
  void GrowTo(uint64_t percent) {
    SetUsage(percent);
    Malloc(next_ += 4 * kTestMiB, 2 * kTestMiB);  // more than a 64th of the limit: a point is due
  }

  RecordedTree tree_;
  RecordedProcess process_;
  uintptr_t next_ = kHeap;
};

TEST_F(ThresholdTest, OneSnapshotEachOnTheWayUp) {
  EXPECT_EQ(process_.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_SNAPSHOT_AT=50,80"},
                         [&] {
                           UseTree();
                           for (const uint64_t percent : {10, 40, 51, 52, 40, 51, 79, 81, 82}) GrowTo(percent);
                         }),
            0);
  const std::vector<std::string> snapshots = process_.Files(".snap");
  ASSERT_EQ(snapshots.size(), 2u);
  EXPECT_EQ(RecordedProcess::Read(snapshots[0]).header.trigger_percent, 50u);
  EXPECT_EQ(RecordedProcess::Read(snapshots[1]).header.trigger_percent, 80u);
  EXPECT_EQ(process_.Recorded().timeline.front().cgroup_limit_bytes, kLimit);
}

TEST_F(ThresholdTest, AJumpOverSeveralIsOneSnapshot) {
  EXPECT_EQ(process_.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_SNAPSHOT_AT=50,60,70,80"},
                         [&] {
                           UseTree();
                           for (const uint64_t percent : {10, 75, 65, 76}) GrowTo(percent);
                         }),
            0);
  const std::vector<std::string> snapshots = process_.Files(".snap");
  ASSERT_EQ(snapshots.size(), 1u);
  EXPECT_EQ(RecordedProcess::Read(snapshots[0]).header.trigger_percent, 70u);
}

TEST_F(ThresholdTest, TheBrinkMakesSamplingCoarserAndLeavingItFiner) {
  EXPECT_EQ(process_.Run(
                {"MEMTRACE_SAMPLE=1", "MEMTRACE_SNAPSHOT_AT=none"},
                [&] {
                  UseTree();
                  const format::Header& h = g_process.recording.header();
                  EXPECT_FALSE(g_process.recording.fully_locked());
                  GrowTo(50);
                  EXPECT_EQ(h.rate_index, 0u);
                  GrowTo(97);
                  const uint32_t coarse = h.rate_index;
                  EXPECT_EQ(h.rates[coarse].reason, static_cast<uint32_t>(format::RateReason::kBrink));
                  EXPECT_GE(h.rates[coarse].bytes, 64u * 1024);
                  EXPECT_NE(h.brink_since_ns, 0u);
                  GrowTo(98);
                  EXPECT_EQ(h.rate_index, coarse);
                  GrowTo(60);
                  EXPECT_EQ(h.rates[h.rate_index].bytes, 1u);
                },
                ForbidLocking),
            0);
}

TEST_F(ThresholdTest, LockedRecordingsKnowNoBrink) {
  EXPECT_EQ(process_.Run({"MEMTRACE_SAMPLE=64KiB", "MEMTRACE_SNAPSHOT_AT=none"},
                         [&] {
                           if (!g_process.recording.fully_locked()) return;
                           UseTree();
                           GrowTo(97);
                           EXPECT_EQ(g_process.recording.header().rate_index, 0u);
                         }),
            0);
}

}  // namespace
}  // namespace memtrace::core
