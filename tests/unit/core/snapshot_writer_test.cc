#include "libmemtrace/core/snapshot_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "libmemtrace/core/identity.h"
#include "libmemtrace/core/live_table.h"
#include "libmemtrace/core/site_table.h"
#include "libmemtrace/core/stack_table.h"
#include "tests/unit/core/scratch_recording.h"
#include "tools/reader/decode.h"

namespace memtrace::core {
namespace {

// A recording with all its tables, and snapshots of it.
class SnapshotWriterTest : public ::testing::Test {
 protected:
  SnapshotWriterTest() {
    Recording* recording = scratch_.get();
    EXPECT_TRUE(stacks_.Open(recording) && live_.Open(recording) && sites_.Open(recording));
    scratch_.header().rates[0].bytes = 1;
    scratch_.header().pid = 4711;
    RecordIdentity(recording, cgroup_, /*with_command=*/true);
    stem_ = scratch_.tree().In("/app.4711.20261122T131500Z");
    EXPECT_EQ(recording->Publish("app.4711.20261122T131500Z.rec"), 0);
  }

  int Write(uint32_t number, rt::TextBuilder* path) {
    std::vector<uint8_t> workspace(kSnapshotWorkspaceBytes);
    const int names = OpenPerfMap(scratch_.header().pid);
    const int result = WriteSnapshot(
        {scratch_->data(), scratch_->reserved_bytes(), "/proc/self", &cgroup_, rt::Text(stem_.data(), stem_.size()),
         number, format::Trigger::kRequest, 0, workspace.data(), names},
        path);
    if (names >= 0) close(names);
    return result;
  }
  static tools::Profile Read(const char* path) {
    auto file = tools::RecordingFile::Read(path);
    EXPECT_TRUE(file.ok());
    auto profile = tools::Decode(file.value());
    EXPECT_TRUE(profile.ok());
    return profile.value();
  }
  std::set<std::string> Files() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(scratch_.tree().root())) {
      names.insert(entry.path().filename());
    }
    return names;
  }
  void InsertBlocks(uint64_t from, uint64_t to) {
    LiveBlock replaced;
    for (uint64_t i = from; i < to; ++i) {
      ASSERT_TRUE(live_.Insert({0x10000 + i * 32, i % 777, 0, 0, 0}, &replaced));
      live_.GrowFor(i);
    }
  }

  ScratchRecording scratch_{64 * kTestMiB};
  rt::Cgroup cgroup_;
  StackTable stacks_;
  LiveTable live_;
  SiteTable sites_;
  std::string stem_;
};

TEST_F(SnapshotWriterTest, HoldsWhatTheRecordingHolds) {
  const uint32_t node = stacks_.Intern(stacks_.Intern(0, 0x1000, 0xffff, 0), 0x2000, 0xffff, 0);
  LiveBlock replaced;
  ASSERT_TRUE(live_.Insert({0x5000, 300, node, 0, 0}, &replaced));
  SiteIndex index{};
  sites_.CountAllocation(0, &index, node, {300, format::kCountOne}, 0);
  InsertBlocks(0, 3000);  // with chains
  rt::TextBuffer<1024> path;
  ASSERT_EQ(Write(1, &path), 0);
  EXPECT_EQ(path.c_str(), stem_ + ".0001.snap");
  const tools::Profile profile = Read(path.c_str());
  EXPECT_TRUE(profile.losses.empty());
  EXPECT_TRUE(profile.is_snapshot());
  EXPECT_EQ(profile.header.trigger, static_cast<uint32_t>(format::Trigger::kRequest));
  EXPECT_EQ(profile.header.snapshot_number, 1u);
  EXPECT_EQ(profile.header.pid, 4711u);
  EXPECT_GT(profile.header.end_ns, 0u);
  ASSERT_EQ(profile.live.size(), 3001u);
  EXPECT_EQ(profile.live[0].address, 0x5000u);
  EXPECT_EQ(profile.live[0].size, 300u);
  EXPECT_EQ(profile.nodes[profile.live[0].node].pc, 0x2000u);
  ASSERT_EQ(std::count_if(profile.sites.begin(), profile.sites.end(),
                          [](const tools::SiteCounts& site) { return site.alloc_bytes == 300; }),
            1);
}

TEST_F(SnapshotWriterTest, BringsNamesOfCodeMadeAtRunTime) {
  scratch_.header().pid = static_cast<uint32_t>(getpid());
  const std::string map = "/tmp/perf-" + std::to_string(getpid()) + ".map";
  const std::string line = "7f0000001000 40 JS:*handle app.js:1:1\n";
  std::string content;
  while (content.size() < (9 << 20)) content += line;
  std::ofstream(map) << content;
  rt::TextBuffer<1024> path;
  ASSERT_EQ(Write(1, &path), 0);
  std::filesystem::remove(map);
  const tools::Profile profile = Read(path.c_str());
  const std::string* copy = profile.FindBlob(format::BlobKind::kProcFile, "perf.map");
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(*copy, content.substr(0, 8 << 20));

  // Anyone may put a link to anything there.
  std::filesystem::create_symlink("/proc/self/status", map);
  ASSERT_EQ(Write(2, &path), 0);
  std::filesystem::remove(map);
  EXPECT_EQ(Read(path.c_str()).FindBlob(format::BlobKind::kProcFile, "perf.map"), nullptr);
}

TEST_F(SnapshotWriterTest, BringsTheStateOfTheProcessAlong) {
  rt::TextBuffer<1024> path;
  ASSERT_EQ(Write(1, &path), 0);
  const tools::Profile profile = Read(path.c_str());
  for (const char* file : {"status", "maps", "cgroup", "limits", "smaps_rollup"}) {
    const std::string* content = profile.FindBlob(format::BlobKind::kProcFile, file);
    ASSERT_NE(content, nullptr) << file;
    EXPECT_FALSE(content->empty());
  }
  EXPECT_NE(profile.FindBlob(format::BlobKind::kProcFile, "status")->find("core_snapshot"), std::string::npos);
  // And what the recording knew before.
  EXPECT_NE(profile.BlobOr(format::BlobKind::kExecutable, "").find("core_snapshot"), std::string::npos);
  EXPECT_NE(profile.BlobOr(format::BlobKind::kHostname, ""), "");
}

TEST_F(SnapshotWriterTest, IsPrivateToItsUser) {
  rt::TextBuffer<1024> path;
  const mode_t before = umask(0);
  ASSERT_EQ(Write(1, &path), 0);
  umask(before);
  struct stat status;
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(SnapshotWriterTest, TakenNumbersArePassedOver) {
  scratch_.tree().Write("/app.4711.20261122T131500Z.0001.snap", "somebody's");
  scratch_.tree().Write("/app.4711.20261122T131500Z.0002.snap.tmp", "of a snapshot that was killed");
  rt::TextBuffer<1024> path;
  ASSERT_EQ(Write(1, &path), 0);
  EXPECT_EQ(path.c_str(), stem_ + ".0003.snap");
  EXPECT_EQ(Read(path.c_str()).header.snapshot_number, 3u);
  EXPECT_EQ(std::filesystem::file_size(scratch_.tree().In("/app.4711.20261122T131500Z.0001.snap")), 10u);
  EXPECT_EQ(Write(10'000, &path), -EEXIST);
}

TEST_F(SnapshotWriterTest, WithoutRoomNothingIsLeftBehind) {
  const std::set<std::string> before = Files();
  RecordedTree small;
  const int status = RunInChild([&] {
    if (!MountTmpfs(small.root(), "size=512k")) _exit(kCannotMount);
    stem_ = small.In("/app.4711.20261122T131500Z");
    scratch_->ForgetInChild();  // the child has no mapping of the parent's
    ScratchRecording own;
    std::vector<uint8_t> workspace(kSnapshotWorkspaceBytes);
    while (own->AddChunk(format::ChunkKind::kLive) < 20) {
    }
    rt::TextBuffer<1024> path;
    EXPECT_EQ(WriteSnapshot({own->data(), own->reserved_bytes(), "/proc/self", &cgroup_,
                             rt::Text(stem_.data(), stem_.size()), 1, format::Trigger::kRequest, 0, workspace.data()},
                            &path),
              -ENOSPC);
    EXPECT_EQ(std::distance(begin(std::filesystem::directory_iterator(small.root())), {}), 0);
  });
  if (status == kCannotMount << 8) GTEST_SKIP() << "needs the right to mount";
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Files(), before);
}

TEST_F(SnapshotWriterTest, UnwritableOrMissingDirectoryIsAnError) {
  stem_ = "/nonexistent/app.1.20261122T131500Z";
  rt::TextBuffer<1024> path;
  EXPECT_EQ(Write(1, &path), -ENOENT);
}

TEST_F(SnapshotWriterTest, FileSizeLimitIsRespectedWithoutASignal) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit limit = {2 * kTestMiB, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  rt::TextBuffer<1024> path;
  EXPECT_EQ(Write(1, &path), -EFBIG);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(Files().size(), 1u);
}

// The table and the file grow all the while: what lived before a snapshot began and still does is in it.
TEST_F(SnapshotWriterTest, NoBlockIsMissingWhileTheTableGrows) {
  std::atomic<uint64_t> entered{0};
  std::atomic<bool> stop{false};
  std::thread program([&] {
    LiveBlock replaced;
    for (uint64_t i = 0; i < 150'000 && !stop.load(); ++i) {
      ASSERT_TRUE(live_.Insert({0x10000 + i * 32, i % 777, 0, 0, 0}, &replaced));
      live_.GrowFor(i);
      entered.store(i + 1, std::memory_order_release);
    }
  });
  uint64_t previous = 0;
  for (uint32_t n = 1; n <= 8; ++n) {
    while (entered.load() < previous + 1000 && entered.load() < 150'000) rt::Yield();
    const uint64_t before = previous = entered.load(std::memory_order_acquire);
    rt::TextBuffer<1024> path;
    ASSERT_EQ(Write(n, &path), 0);
    const tools::Profile profile = Read(path.c_str());
    std::vector<bool> found(before);
    for (const tools::LiveBlock& block : profile.live) {
      const uint64_t i = (block.address - 0x10000) / 32;
      if (i < before) found[i] = true;
    }
    EXPECT_EQ(std::count(found.begin(), found.end(), false), 0) << "of " << before << " in snapshot " << n;
    std::filesystem::remove(path.c_str());
  }
  stop.store(true);
  program.join();
}

}  // namespace
}  // namespace memtrace::core
