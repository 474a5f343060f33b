#include "libmemtrace/core/directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <set>

#include "libmemtrace/format/recording.h"
#include "tests/unit/core/scratch_recording.h"

namespace memtrace::core {
namespace {

using format::State;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint32_t kNobody = 4'000'000;  // beyond the kernel's largest process id, 2^22 at most, in practice unused
constexpr uint64_t kNamespace = 77;
constexpr uint64_t kStartTicks = 1234;

std::string Str(rt::Text text) { return {text.data, text.size}; }

std::optional<std::string> Describe(const std::string& name) {
  FileName parsed;
  if (!ParseFileName(name.c_str(), &parsed)) return std::nullopt;
  return Str(parsed.executable) + "|" + std::to_string(parsed.pid) + "|" + Str(parsed.start) +
         (parsed.snapshot ? "|snap" : "|rec");
}

TEST(FileNameTest, RecordingsAndSnapshots) {
  EXPECT_EQ(Describe("nginx.12.20261122T131500Z.rec"), "nginx|12|20261122T131500Z|rec");
  EXPECT_EQ(Describe("nginx.12.20261122T131500Z.0001.snap"), "nginx|12|20261122T131500Z|snap");
  EXPECT_EQ(Describe("python3.11.7.20261122T131500Z.rec"), "python3.11|7|20261122T131500Z|rec");
  EXPECT_EQ(Describe("a.b.c.rec.7.20261122T131500Z.12345.snap"), "a.b.c.rec|7|20261122T131500Z|snap");
}

TEST(FileNameTest, OthersAreNot) {
  for (const char* name : {"",
                           ".",
                           "..",
                           "rec",
                           ".rec",
                           "a.rec",
                           "a.1.rec",
                           "nginx.12.20261122T131500Z",
                           "nginx.12.20261122T131500Z.rec.tmp",
                           "nginx.12.20261122T131500Z.0001.snap.tmp",
                           "nginx.x.20261122T131500Z.rec",
                           "nginx.-1.20261122T131500Z.rec",
                           "nginx.99999999999999999999.20261122T131500Z.rec",
                           ".12.20261122T131500Z.rec",
                           "nginx.12.20261122T131500Z.snap",
                           "nginx.12.2026.rec",
                           "nginx..20261122T131500Z.rec",
                           ".memtrace-12-abcdef",
                           "nginx.12.20261122T131500Z.REC",
                           "nginx 12 20261122T131500Z rec"}) {
    EXPECT_EQ(Describe(name), std::nullopt) << name;
  }
}

class DirectoryTest : public ::testing::Test {
 protected:
  // A recording, or whatever else `state` makes of it.
  void File(const std::string& name, uint32_t pid, State state, uint64_t pid_namespace = kNamespace,
            uint64_t peak_bytes = 0, uint32_t snapshots = 0) {
    format::Header h = {};
    memcpy(h.magic, format::kMagic, sizeof(h.magic));
    h.version = format::kVersion;
    h.pid = pid;
    h.state = static_cast<uint32_t>(state);
    h.pid_namespace = pid_namespace;
    h.process_start_ticks = kStartTicks;
    h.peak_live_bytes = peak_bytes;
    h.snapshots_taken = snapshots;
    tree_.Write("/" + name, std::string(reinterpret_cast<const char*>(&h), sizeof(h)));
  }
  std::set<std::string> Files() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(tree_.root())) names.insert(entry.path().filename());
    return names;
  }
  uint32_t StateOf(const std::string& name) {
    std::ifstream file(tree_.In("/" + name));
    format::Header h;
    file.read(reinterpret_cast<char*>(&h), sizeof(h));
    return h.state;
  }
  Found Tidy(uint32_t keep_files, bool keep_always = false) {
    return TidyDirectory(tree_.root(), {"app", keep_files, static_cast<uint32_t>(getpid()),
                                        static_cast<uint32_t>(getppid()), kStartTicks, kNamespace, keep_always});
  }
  std::string Own(const std::string& stamp) { return "app." + std::to_string(getpid()) + "." + stamp + ".rec"; }

  RecordedTree tree_;
};

TEST_F(DirectoryTest, OldestFilesOfEndedProcessesMakeRoom) {
  for (int i = 0; i < 6; ++i) {
    const std::string pid = std::to_string(kNobody + static_cast<uint32_t>(i));
    File("app." + pid + ".2026112" + std::to_string(9 - i) + "T131500Z.rec", kNobody, State::kRunning);
  }
  Tidy(4);  // room for one more
  EXPECT_THAT(Files(), ElementsAre("app.4000000.20261129T131500Z.rec", "app.4000001.20261128T131500Z.rec",
                                   "app.4000002.20261127T131500Z.rec"));
  Tidy(16);
  EXPECT_EQ(Files().size(), 3u);
}

TEST_F(DirectoryTest, SnapshotsCountAndGoToo) {
  File("app.4000000.20261120T131500Z.rec", kNobody, State::kExited);
  File("app.4000000.20261120T131500Z.0001.snap", kNobody, State::kSnapshot);
  File("app.4000000.20261121T131500Z.0002.snap", kNobody, State::kSnapshot);
  Tidy(2);
  EXPECT_THAT(Files(), ElementsAre("app.4000000.20261121T131500Z.0002.snap"));
}

TEST_F(DirectoryTest, OrphansOfKilledWritersGoAfterAWhile) {
  const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  for (const char* name : {".memtrace-7-1f", "app.7.20261120T131500Z.0001.snap.tmp", "other.tmp"}) {
    tree_.Write("/" + std::string(name), "x");
    std::filesystem::last_write_time(tree_.In("/" + std::string(name)), old);
  }
  tree_.Write("/.memtrace-8-2f", "x");  // being written
  Tidy(16);
  EXPECT_THAT(Files(), ElementsAre(".memtrace-8-2f", "other.tmp"));
}

TEST_F(DirectoryTest, RunningForeignAndOtherFilesStay) {
  const std::string living = "app." + std::to_string(getppid()) + ".20250101T000000Z.rec";
  File(living, static_cast<uint32_t>(getppid()), State::kRunning);
  File("app.4000001.20250101T000000Z.rec", kNobody, State::kRunning, kNamespace + 1);  // of another container
  File("other.4000001.20250101T000000Z.rec", kNobody, State::kRunning);
  tree_.Write("/notes.txt", "");
  const std::set<std::string> before = Files();
  EXPECT_TRUE(Tidy(1).parent_is_recorded);
  EXPECT_EQ(Files(), before);
  File("app.4000001.20250101T000000Z.rec", kNobody, State::kExited, kNamespace + 1);
  Tidy(1);
  EXPECT_EQ(Files().count("app.4000001.20250101T000000Z.rec"), 0u);
}

TEST_F(DirectoryTest, DamagedFilesGoLikeOthers) {
  tree_.Write("/app.4000000.20250101T000000Z.rec", "");
  tree_.Write("/app.4000001.20250102T000000Z.rec", "not a recording");
  Tidy(1);
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(DirectoryTest, LinksAreNotFollowed) {
  RecordedTree elsewhere;
  elsewhere.Write("/victim", std::string(sizeof(format::Header), 'x'));
  std::filesystem::create_symlink(elsewhere.In("/victim"), tree_.In("/" + Own("20250101T000000Z")));
  Tidy(1);
  EXPECT_TRUE(std::filesystem::exists(elsewhere.In("/victim")));
}

// Two users share a directory with the sticky bit: what one of them may not remove does not stop the tidying.
TEST_F(DirectoryTest, FilesOfAnotherUserDoNotStopTheTidying) {
  if (getuid() != 0) GTEST_SKIP() << "needs two users";
  EXPECT_EQ(RunInChild([this] {
              File("app.4000000.20250101T000000Z.rec", kNobody, State::kExited);
              ASSERT_EQ(chmod(tree_.In("/app.4000000.20250101T000000Z.rec").c_str(), 0600), 0);
              ASSERT_EQ(chmod(tree_.root(), 01777), 0);
              ASSERT_EQ(setuid(12345), 0);
              File("app.4000001.20250102T000000Z.rec", kNobody, State::kExited);
              File("app.4000002.20250103T000000Z.rec", kNobody, State::kExited);
              Tidy(3);
              EXPECT_THAT(Files(), ElementsAre("app.4000000.20250101T000000Z.rec", "app.4000002.20250103T000000Z.rec"));
            }),
            0);
}

TEST_F(DirectoryTest, FormerImageOfThisProcessIsRemovedOrClosed) {
  const std::string small = Own("20250101T000000Z");
  const std::string large = Own("20250102T000000Z");
  const std::string asked = Own("20250103T000000Z");
  const std::string reused = Own("20250104T000000Z");
  const auto pid = static_cast<uint32_t>(getpid());
  File(small, pid, State::kRunning);
  File(large, pid, State::kRunning, kNamespace, kWorthKeepingBytes);
  File(asked, pid, State::kRunning, kNamespace, 0, 1);
  File(reused, pid, State::kRunning, kNamespace + 1);  // this id in another namespace
  Tidy(16);
  EXPECT_THAT(Files(), ElementsAre(large, asked, reused));
  EXPECT_EQ(StateOf(large), static_cast<uint32_t>(State::kExec));
  EXPECT_EQ(StateOf(asked), static_cast<uint32_t>(State::kExec));
  EXPECT_EQ(StateOf(reused), static_cast<uint32_t>(State::kRunning));
  File(small, pid, State::kRunning);
  Tidy(16, /*keep_always=*/true);
  EXPECT_EQ(StateOf(small), static_cast<uint32_t>(State::kExec));
}

TEST_F(DirectoryTest, ParentIsRecordedOnlyWhileItRuns) {
  const std::string parent = "sh." + std::to_string(getppid()) + ".20250101T000000Z.rec";
  EXPECT_FALSE(Tidy(16).parent_is_recorded);
  File(parent, static_cast<uint32_t>(getppid()), State::kExited);
  EXPECT_FALSE(Tidy(16).parent_is_recorded);
  File(parent, static_cast<uint32_t>(getppid()), State::kRunning, kNamespace + 1);
  EXPECT_FALSE(Tidy(16).parent_is_recorded);
  File(parent, static_cast<uint32_t>(getppid()), State::kRunning);
  EXPECT_TRUE(Tidy(16).parent_is_recorded);
}

TEST(ChooseDirectoryTest, MakesItForEveryUserWhateverTheUmask) {
  RecordedTree tree;
  rt::TextBuffer<512> chosen;
  const mode_t before = umask(0077);
  EXPECT_EQ(ChooseDirectory(tree.In("/a/b/memtrace").c_str(), &chosen), 0);
  umask(before);
  EXPECT_EQ(Str(chosen.text()), tree.In("/a/b/memtrace"));
  struct stat status;
  ASSERT_EQ(stat(chosen.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 01777u);
  EXPECT_EQ(ChooseDirectory(tree.In("/a/b/memtrace").c_str(), &chosen), 0);
}

TEST(ChooseDirectoryTest, FallsBackToAPrivateOne) {
  RecordedTree tree;
  tree.Write("/memtrace", "a file is in the way");
  rt::TextBuffer<512> chosen;
  EXPECT_EQ(ChooseDirectory(tree.In("/memtrace").c_str(), &chosen), 0);
  EXPECT_EQ(Str(chosen.text()), tree.In("/memtrace-") + std::to_string(geteuid()));
  struct stat status;
  ASSERT_EQ(stat(chosen.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
}

TEST(ChooseDirectoryTest, UnwritableDirectoryOfAnotherUser) {
  if (getuid() != 0) GTEST_SKIP() << "needs two users";
  EXPECT_EQ(RunInChild([] {
              RecordedTree tree;
              ASSERT_EQ(mkdir(tree.In("/memtrace").c_str(), 0755), 0);
              ASSERT_EQ(chmod(tree.root(), 01777), 0);
              ASSERT_EQ(setuid(12345), 0);
              rt::TextBuffer<512> chosen;
              EXPECT_EQ(ChooseDirectory(tree.In("/memtrace").c_str(), &chosen), 0);
              EXPECT_EQ(Str(chosen.text()), tree.In("/memtrace-12345"));
            }),
            0);
}

// Somebody else may have made the fallback first, to read along or to plant links.
TEST(ChooseDirectoryTest, FallbackOfAnotherUserIsNotTaken) {
  if (getuid() != 0) GTEST_SKIP() << "needs two users";
  EXPECT_EQ(RunInChild([] {
              RecordedTree tree;
              tree.Write("/memtrace", "");
              ASSERT_EQ(mkdir(tree.In("/memtrace-12345").c_str(), 0777), 0);
              ASSERT_EQ(chmod(tree.In("/memtrace-12345").c_str(), 0777), 0);
              ASSERT_EQ(chmod(tree.root(), 01777), 0);
              ASSERT_EQ(setuid(12345), 0);
              rt::TextBuffer<512> chosen;
              EXPECT_NE(ChooseDirectory(tree.In("/memtrace").c_str(), &chosen), 0);
            }),
            0);
}

TEST(ChooseDirectoryTest, NowhereIsTheFirstError) {
  rt::TextBuffer<512> chosen;
  EXPECT_EQ(ChooseDirectory("/proc/nowhere/memtrace", &chosen), -ENOENT);
}

}  // namespace
}  // namespace memtrace::core
