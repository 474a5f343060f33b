#include "libmemtrace/core/identity.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>

#include "tests/unit/core/scratch_recording.h"
#include "tools/reader/decode.h"

namespace memtrace::core {
namespace {

using format::BlobKind;

TEST(IdentityTest, OfThisProcess) {
  const Identity identity = ReadIdentity();
  EXPECT_EQ(identity.pid, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(identity.parent_pid, static_cast<uint32_t>(getppid()));
  EXPECT_EQ(identity.uid, geteuid());
  struct stat status;
  ASSERT_EQ(stat("/proc/self/ns/pid", &status), 0);
  EXPECT_EQ(identity.pid_namespace, status.st_ino);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const auto started = static_cast<time_t>(identity.start_ns / 1'000'000'000);
  EXPECT_LE(started, now.tv_sec);
  EXPECT_GE(started, now.tv_sec - 600);
  const uint8_t zeroes[16] = {};
  EXPECT_NE(memcmp(identity.boot_id, zeroes, sizeof(zeroes)), 0);
}

TEST(IdentityTest, NameOfTheProcessDoesNotDisturb) {
  char before[16];
  ASSERT_EQ(prctl(PR_GET_NAME, before), 0);
  ASSERT_EQ(prctl(PR_SET_NAME, "a) S 1 (b 9 9"), 0);
  EXPECT_EQ(ReadIdentity().parent_pid, static_cast<uint32_t>(getppid()));
  EXPECT_NE(ReadIdentity().start_ticks, 0u);
  prctl(PR_SET_NAME, before);
}

TEST(IdentityTest, ExecutableNameIsAPlainFileName) {
  rt::TextBuffer<96> name;
  ReadExecutableName(&name);
  EXPECT_STREQ(name.c_str(), "core_identity_test");
}

TEST(IdentityTest, BlobsDescribeTheProcess) {
  ScratchRecording scratch;
  rt::Cgroup cgroup;
  cgroup.version = 2;
  rt::TextBuilder(cgroup.path, sizeof(cgroup.path)).Add("/kubepods/x");
  rt::TextBuilder(cgroup.limit_directory, sizeof(cgroup.limit_directory)).Add("/sys/fs/cgroup");
  RecordIdentity(scratch.get(), cgroup, /*with_command=*/true);
  const auto file = tools::RecordingFile::Read(scratch->path());
  ASSERT_TRUE(file.ok());
  const auto profile = tools::Decode(file.value());
  ASSERT_TRUE(profile.ok());
  EXPECT_TRUE(profile.value().losses.empty());
  char host[256];
  gethostname(host, sizeof(host));
  EXPECT_EQ(profile.value().BlobOr(BlobKind::kHostname, ""), host);
  EXPECT_EQ(profile.value().BlobOr(BlobKind::kExecutable, ""), std::filesystem::read_symlink("/proc/self/exe"));
  EXPECT_EQ(profile.value().BlobOr(BlobKind::kCgroupVersion, ""), "2");
  EXPECT_EQ(profile.value().BlobOr(BlobKind::kCgroupPath, ""), "/kubepods/x");
  EXPECT_EQ(profile.value().BlobOr(BlobKind::kCgroupLimitDir, ""), "/sys/fs/cgroup");
  std::ifstream cmdline("/proc/self/cmdline");
  const std::string command((std::istreambuf_iterator<char>(cmdline)), std::istreambuf_iterator<char>());
  EXPECT_EQ(profile.value().BlobOr(BlobKind::kCommand, ""), command);
}

TEST(IdentityTest, CommandLineMayStayUnsaid) {
  ScratchRecording scratch;
  RecordIdentity(scratch.get(), rt::Cgroup(), /*with_command=*/false);
  const auto file = tools::RecordingFile::Read(scratch->path());
  ASSERT_TRUE(file.ok());
  const auto profile = tools::Decode(file.value());
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile.value().FindBlob(BlobKind::kCommand), nullptr);
  EXPECT_EQ(profile.value().FindBlob(BlobKind::kCgroupPath), nullptr);
  EXPECT_NE(profile.value().FindBlob(BlobKind::kHostname), nullptr);
}

}  // namespace
}  // namespace memtrace::core
