#include "libmemtrace/core/process.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "libmemtrace/core/snapshot.h"
#include "tests/unit/core/recorded_process.h"

namespace memtrace::core {
namespace {

constexpr uintptr_t kHeap = 0x7f1200000000;
constexpr size_t kLarge = 2 << 20;

TEST(ProcessTest, FileAppearsUnderItsNameAndSaysWhose) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [&] {
                          EXPECT_TRUE(process.started());
                          Malloc(kHeap, 5);
                        }),
            0);
  const std::vector<std::string> files = process.Files(".rec");
  ASSERT_EQ(files.size(), 1u);
  const tools::Profile profile = process.Recorded();
  EXPECT_NE(files[0].find("/core_process_test." + std::to_string(profile.header.pid) + ".20"), std::string::npos);
  EXPECT_EQ(profile.header.parent_pid, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(profile.header.uid, geteuid());
  EXPECT_EQ(profile.header.origin, static_cast<uint32_t>(format::Origin::kStart));
  EXPECT_EQ(profile.header.libc, static_cast<uint32_t>(format::Libc::kGlibc));
  EXPECT_EQ(profile.header.sampling, static_cast<uint32_t>(format::Sampling::kExact));
  EXPECT_EQ(profile.header.state, static_cast<uint32_t>(format::State::kRunning));  // it did not say good-bye
  EXPECT_GT(profile.nodes.size(), 1u);
  EXPECT_FALSE(profile.modules.empty());
}

TEST(ProcessTest, SmallProcessThatEndsLeavesNothing) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 5000);
                          Finish();
                        }),
            0);
  EXPECT_TRUE(process.Files(".rec").empty());
}

TEST(ProcessTest, WhatIsWorthKeepingIsKept) {
  const struct {
    std::vector<std::string> variables;
    size_t size;
    bool snapshot;
  } cases[] = {{{"MEMTRACE_KEEP=always"}, 5, false}, {{}, kLarge, false}, {{}, 5, true}};
  for (const auto& test : cases) {
    RecordedProcess process;
    std::vector<std::string> variables = test.variables;
    variables.push_back("MEMTRACE_SAMPLE=1");
    EXPECT_EQ(process.Run(variables,
                          [&] {
                            Malloc(kHeap, test.size);
                            Free(kHeap);
                            EXPECT_TRUE(!test.snapshot || TakeSnapshot(format::Trigger::kSignal, 0));
                            Finish();
                            Finish();
                          }),
              0);
    const tools::Profile profile = process.Recorded();
    EXPECT_EQ(profile.header.state, static_cast<uint32_t>(format::State::kExited));
    EXPECT_GE(profile.header.end_ns, profile.header.start_ns);
    EXPECT_FALSE(profile.timeline.empty());
    EXPECT_EQ(process.Files(".snap").size(), test.snapshot ? 1u : 0u);
  }
}

TEST(ProcessTest, EndsAfterFinishStillCount) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_KEEP=always"},
                        [] {
                          Malloc(kHeap, 5);
                          Finish();
                          Free(kHeap);  // a destructor that runs after ours
                          Malloc(kHeap, 7);
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  EXPECT_EQ(profile.totals.allocations, 2u);
  EXPECT_EQ(profile.totals.live_bytes, 7u);
}

TEST(ProcessTest, ForkedChildHasAFileOfItsOwn) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 100);
                          EXPECT_EQ(RunInChild([] {
                                      Free(kHeap);  // the parent's
                                      Malloc(kHeap + 64, 7);
                                    }),
                                    0);
                          Malloc(kHeap + 128, 50);
                        }),
            0);
  const std::vector<std::string> files = process.Files(".rec");
  ASSERT_EQ(files.size(), 2u);
  for (const std::string& file : files) {
    const tools::Profile profile = RecordedProcess::Read(file);
    const bool is_child = profile.header.origin == static_cast<uint32_t>(format::Origin::kFork);
    EXPECT_EQ(profile.totals.live_bytes, is_child ? 7u : 150u);
    EXPECT_EQ(profile.totals.frees, 0u);
  }
}

TEST(ProcessTest, ChildrenMayBeLeftAlone) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_FOLLOW=exec"},
                        [] {
                          Malloc(kHeap, 100);
                          EXPECT_EQ(RunInChild([] {
                                      Malloc(kHeap + 64, 7);
                                      Free(kHeap + 64);
                                      Free(kHeap);
                                      EXPECT_FALSE(TakeSnapshot(format::Trigger::kSignal, 0));
                                    }),
                                    0);
                        }),
            0);
  EXPECT_EQ(process.Recorded().totals.live_bytes, 100u);
  EXPECT_TRUE(process.Files(".snap").empty());
}

TEST(ProcessTest, ProgramsThatAreNotSelectedAreNotRecorded) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_ONLY=nginx,redis*"},
                        [&] {
                          EXPECT_FALSE(process.started());
                          Malloc(kHeap, 100);
                          Free(kHeap);
                          Finish();
                        }),
            0);
  EXPECT_TRUE(process.Files(".rec").empty());
}

TEST(ProcessTest, WithoutADirectoryTheProgramRunsUnrecorded) {
  EXPECT_EQ(RunInChild([] {
              const char* environment[] = {"MEMTRACE_DIR=/proc/nowhere", "MEMTRACE_QUIET=1", nullptr};
              EXPECT_TRUE(Start(environment, {[](void*) {}, format::Libc::kGlibc, 0}));  // it was to be recorded
              EXPECT_NE(g_process.failure, 0);
              Malloc(kHeap, 100);
              Free(kHeap);
              EXPECT_FALSE(TakeSnapshot(format::Trigger::kSignal, 0));
              Finish();
            }),
            0);
}

TEST(ProcessTest, SnapshotIsTheStateOfThatMoment) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 100);
                          EXPECT_TRUE(TakeSnapshot(format::Trigger::kSignal, 0));
                          Malloc(kHeap + 64, 11);
                          EXPECT_TRUE(TakeSnapshot(format::Trigger::kThreshold, 90));
                        }),
            0);
  const std::vector<std::string> snapshots = process.Files(".snap");
  ASSERT_EQ(snapshots.size(), 2u);
  const tools::Profile first = RecordedProcess::Read(snapshots[0]);
  const tools::Profile second = RecordedProcess::Read(snapshots[1]);
  EXPECT_EQ(first.totals.live_bytes, 100u);
  EXPECT_EQ(second.totals.live_bytes, 111u);
  EXPECT_EQ(first.header.trigger, static_cast<uint32_t>(format::Trigger::kSignal));
  EXPECT_EQ(second.header.trigger, static_cast<uint32_t>(format::Trigger::kThreshold));
  EXPECT_EQ(second.header.trigger_percent, 90u);
  EXPECT_EQ(second.header.snapshot_number, 2u);
  EXPECT_EQ(process.Recorded().header.snapshots_taken, 2u);
}

TEST(ProcessTest, SnapshotSignalInTheSlowPathIsDoneOnTheWayOut) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [&] {
                          Malloc(kHeap, 100);
                          t_state.in_memtrace = 1;
                          SnapshotFromSignal();
                          EXPECT_TRUE(process.Files(".snap").empty());
                          t_state.in_memtrace = 0;
                          Malloc(kHeap + 64, 11);
                          EXPECT_EQ(process.Files(".snap").size(), 1u);
                          SnapshotFromSignal();
                          EXPECT_EQ(process.Files(".snap").size(), 2u);
                        }),
            0);
}

TEST(ProcessTest, LostSnapshotIsFlagged) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [&] {
                          Malloc(kHeap, 100);
                          std::filesystem::rename(process.directory(), std::string(process.directory()) + "-gone");
                          EXPECT_FALSE(TakeSnapshot(format::Trigger::kSignal, 0));
                          std::filesystem::rename(std::string(process.directory()) + "-gone", process.directory());
                        }),
            0);
  EXPECT_NE(process.Recorded().header.flags & format::kFlagSnapshotFailed, 0u);
}

// From one place in the code, whatever the compiler would make of a loop elsewhere.
[[gnu::noinline]] void MallocThreeTimes() {
#pragma GCC unroll 1
  for (uintptr_t i = 0; i < 3; ++i) Malloc(kHeap + i * kLarge, kLarge);
  asm volatile("" ::: "memory");
}

TEST(ProcessTest, SnapshotSaysInWordsWhatIsHeld) {
  RecordedProcess process;
  const std::string log = std::string(process.directory()) + "/termination-log";
  std::ofstream(log) << std::string(9000, 'x');  // what was there goes
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1", "MEMTRACE_TERMINATION_LOG=" + log},
                        [] {
                          MallocThreeTimes();
                          Malloc(kHeap + 0x10000000, 1 << 20);
                          EXPECT_TRUE(TakeSnapshot(format::Trigger::kThreshold, 90));
                        }),
            0);
  std::ifstream file(log);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_LE(text.size(), 4096u);
  for (const std::string& part :
       {std::string("memtrace: core_process_test (pid "), std::string("90 % of the memory limit"),
        std::string("live 7.0 MiB in 4 blocks"), "snapshot " + process.Files(".snap").at(0),
        std::string("1. 6.0 MiB in 3 blocks, 85 %, from\n   core_process_test+0x"),
        std::string("2. 1.0 MiB in 1 blocks, 14 %")}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST(ProcessTest, ChildSaysWhatItInherited) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, kLarge);
                          Malloc(kHeap + kLarge, 1000);
                          const pid_t child = fork();
                          if (child == 0) {
                            Malloc(kHeap + 2 * kLarge, 7);
                            _exit(g_process.recording.header().inherited_bytes == kLarge + 1000 ? 0 : 1);
                          }
                          int status = 1;
                          waitpid(child, &status, 0);
                          EXPECT_EQ(status, 0);
                        }),
            0);
}

TEST(ProcessTest, StopsAndResumesOnRequest) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          Malloc(kHeap, 1000);
                          uint32_t& wanted = g_process.recording.header().wanted;
                          Store(wanted, static_cast<uint32_t>(format::Wanted::kStop));
                          for (uintptr_t i = 1; i < 100; ++i) Malloc(kHeap + i * 64, 10);
                          EXPECT_EQ(g_process.mode.load(), Mode::kStopped);
                          const format::Header& h = g_process.recording.header();
                          EXPECT_NE(h.flags & format::kFlagStopped, 0u);
                          EXPECT_NE(h.end_ns, 0u);
                          Free(kHeap);  // not seen
                          for (uintptr_t i = 0; i < 3; ++i) Malloc(kHeap + 0x100000 + i * kLarge, kLarge);
                          EXPECT_EQ(g_process.mode.load(), Mode::kStopped);
                          Store(wanted, static_cast<uint32_t>(format::Wanted::kRecord));
                          Malloc(kHeap + 0x10000000, kLarge);  // the one that looks
                          EXPECT_EQ(g_process.mode.load(), Mode::kOn);
                          Malloc(kHeap + 0x20000000, 77);
                          Finish();
                        }),
            0);
  const std::vector<std::string> files = process.Files(".rec");
  ASSERT_EQ(files.size(), 2u);
  const tools::Profile before = RecordedProcess::Read(files[0]);
  const tools::Profile after = RecordedProcess::Read(files[1]);
  EXPECT_EQ(before.live.front().size, 1000u);
  EXPECT_LT(before.live.size(), 70u);
  EXPECT_EQ(after.header.origin, static_cast<uint32_t>(format::Origin::kAttach));
  EXPECT_GT(after.header.inherited_bytes, 0u);
  EXPECT_NE(after.header.inherited_bytes, format::kUnknown);
  EXPECT_EQ(after.totals.live_bytes, kLarge + 77u);
}

TEST(ProcessTest, WaitsWithResumingUntilOthersHaveLeft) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          std::atomic<int> step{0};
                          std::thread other([&step] {
                            Malloc(kHeap, 1000);
                            t_state.in_memtrace = 1;  // as if it had been suspended in the slow path
                            step = 1;
                            while (step != 2) std::this_thread::yield();
                            t_state.in_memtrace = 0;
                            step = 3;
                            while (step != 4) std::this_thread::yield();
                          });
                          while (step != 1) std::this_thread::yield();
                          StopRecording();
                          EXPECT_FALSE(Resume());
                          EXPECT_EQ(g_process.mode.load(), Mode::kStopped);
                          step = 2;
                          while (step != 3) std::this_thread::yield();
                          EXPECT_TRUE(Resume());
                          EXPECT_FALSE(Resume());
                          step = 4;
                          other.join();
                        }),
            0);
}

}  // namespace
}  // namespace memtrace::core
