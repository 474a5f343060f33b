#include "libmemtrace/rt/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <string>

#include "tests/unit/rt/recorded_tree.h"

namespace memtrace::rt {
namespace {

using format::kUnknown;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

constexpr uint64_t kMiB = 1 << 20;
const char* const kId = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const char* const kV1NoLimit = "9223372036854771712\n";

std::string Lines(uint64_t amount) { return std::to_string(amount) + "\n"; }

const std::string kOtherMounts =
    "22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard\n"
    "23 22 0:21 / /proc rw,nosuid - proc proc rw\n";
std::string CpuMount1() { return "32 22 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"; }
std::string MemoryMount1(const std::string& root, const std::string& point) {
  return "35 22 0:32 " + root + " " + point + " rw,relatime shared:12 master:3 - cgroup cgroup rw,memory\n";
}
std::string Mount2(const std::string& root, const std::string& point) {
  return "30 22 0:26 " + root + " " + point + " ro,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
}

class CgroupTest : public ::testing::Test {
 protected:
  void Process(const std::string& cgroups, const std::string& mounts, const std::string& proc = "/proc/self") {
    tree_.Write(proc + "/cgroup", cgroups).Write(proc + "/mountinfo", kOtherMounts + mounts);
  }
  void Memory1(const std::string& directory, const std::string& limit, uint64_t usage, const std::string& stat = "") {
    tree_.Write(directory + "/memory.limit_in_bytes", limit)
        .Write(directory + "/memory.usage_in_bytes", Lines(usage))
        .Write(directory + "/memory.use_hierarchy", "1\n")
        .Write(directory + "/memory.stat", stat);
  }
  void Memory2(const std::string& directory, const std::string& limit, uint64_t usage, const std::string& stat = "") {
    tree_.Write(directory + "/memory.max", limit + "\n")
        .Write(directory + "/memory.current", Lines(usage))
        .Write(directory + "/memory.stat", stat)
        .Write(directory + "/pids.current", "3\n");
  }
  bool Find(const char* proc = "/proc/self") { return FindCgroup(proc, tree_.root(), &cgroup_); }
  std::string Directory() const { return Inside(cgroup_.directory); }
  std::string LimitDirectory() const { return Inside(cgroup_.limit_directory); }
  std::string Inside(const std::string& path) const {
    return path.rfind(tree_.root(), 0) == 0 ? path.substr(std::string(tree_.root()).size()) : "outside: " + path;
  }
  std::map<std::string, std::string> Visit() {
    std::map<std::string, std::string> files;
    VisitCgroupFiles(
        cgroup_,
        [](void* context, Text name, const char* path) {
          std::string content;
          std::getline(std::ifstream(path), content);
          (*static_cast<std::map<std::string, std::string>*>(context))[std::string(name.data, name.size)] = content;
        },
        &files);
    return files;
  }

  RecordedTree tree_;
  Cgroup cgroup_;
};

TEST_F(CgroupTest, Version2) {
  Process("0::/system.slice/app.service\n", Mount2("/", "/sys/fs/cgroup"));
  tree_.Write("/sys/fs/cgroup/cgroup.procs", "");
  Memory2("/sys/fs/cgroup/system.slice", "max", 900 * kMiB);
  Memory2("/sys/fs/cgroup/system.slice/app.service", "104857600", 60 * kMiB, "anon 1\ninactive_file 10485760\nx 3\n");
  ASSERT_TRUE(Find());
  EXPECT_EQ(cgroup_.version, 2);
  EXPECT_STREQ(cgroup_.path, "/system.slice/app.service");
  EXPECT_EQ(Directory(), "/sys/fs/cgroup/system.slice/app.service");
  EXPECT_EQ(LimitDirectory(), Directory());
  EXPECT_EQ(cgroup_.limit_bytes, 100 * kMiB);

  MemoryUse use;
  ASSERT_TRUE(ReadMemoryUse(cgroup_, true, &use));
  EXPECT_EQ(use.usage_bytes, 60 * kMiB);
  EXPECT_EQ(use.inactive_file_bytes, 10 * kMiB);
  EXPECT_EQ(use.limit_bytes, 100 * kMiB);
  EXPECT_EQ(use.WorkingSetBytes(), 50 * kMiB);

  ASSERT_TRUE(ReadMemoryUse(cgroup_, false, &use));
  EXPECT_EQ(use.usage_bytes, 60 * kMiB);
  EXPECT_EQ(use.limit_bytes, 100 * kMiB);
  EXPECT_EQ(use.WorkingSetBytes(), kUnknown);
}

TEST_F(CgroupTest, Version2LimitThatMovesIsReadAgain) {
  Process("0::/a\n", Mount2("/", "/cg"));
  Memory2("/cg/a", "100", 5);
  ASSERT_TRUE(Find());
  tree_.Write("/cg/a/memory.max", "200\n");
  MemoryUse use;
  ReadMemoryUse(cgroup_, true, &use);
  EXPECT_EQ(use.limit_bytes, 200u);
}

TEST_F(CgroupTest, Version2NestedLimits) {
  Process("0::/pod/container/worker\n", Mount2("/", "/cg"));
  Memory2("/cg/pod", "300", 250);
  Memory2("/cg/pod/container", "200", 150);
  Memory2("/cg/pod/container/worker", "max", 20);
  ASSERT_TRUE(Find());
  EXPECT_EQ(Directory(), "/cg/pod/container/worker");
  EXPECT_EQ(LimitDirectory(), "/cg/pod/container");
  EXPECT_EQ(cgroup_.limit_bytes, 200u);
  MemoryUse use;
  ASSERT_TRUE(ReadMemoryUse(cgroup_, false, &use));
  EXPECT_EQ(use.usage_bytes, 150u);
}

TEST_F(CgroupTest, TheSmallestLimitIsTheOneThatIsHit) {
  Process("0::/pod/container\n", Mount2("/", "/cg"));
  Memory2("/cg/pod", "100", 90);
  Memory2("/cg/pod/container", "200", 50);
  ASSERT_TRUE(Find());
  EXPECT_EQ(LimitDirectory(), "/cg/pod");
  EXPECT_EQ(cgroup_.limit_bytes, 100u);
  // Of equal limits the nearest.
  Memory2("/cg/pod/container", "100", 50);
  ASSERT_TRUE(Find());
  EXPECT_EQ(LimitDirectory(), "/cg/pod/container");
}

TEST_F(CgroupTest, Version2PrivateNamespace) {
  Process("0::/\n", Mount2("/", "/sys/fs/cgroup"));
  Memory2("/sys/fs/cgroup", "1000", 400);
  ASSERT_TRUE(Find());
  EXPECT_STREQ(cgroup_.path, "/");
  EXPECT_EQ(Directory(), "/sys/fs/cgroup");
  EXPECT_EQ(cgroup_.limit_bytes, 1000u);
}

TEST_F(CgroupTest, Version2WithoutTheControllerIsChargedAbove) {
  Process("0::/a/b/c\n", Mount2("/", "/cg"));
  Memory2("/cg/a", "1000", 400);
  tree_.Write("/cg/a/b/c/pids.current", "7\n");
  ASSERT_TRUE(Find());
  EXPECT_EQ(Directory(), "/cg/a");
  EXPECT_EQ(cgroup_.limit_bytes, 1000u);
  EXPECT_THAT(Visit(), Contains(Pair("pids.current", "7")));
}

TEST_F(CgroupTest, ProcessOutsideOfItsNamespace) {
  // The mount shows only what lies below the namespace's root.
  Process("0::/../other\n", Mount2("/", "/cg"));
  Memory2("/cg", "1000", 400);
  Memory2("/other", "10", 4);
  EXPECT_FALSE(Find());
  EXPECT_EQ(cgroup_.version, 2);
  EXPECT_STREQ(cgroup_.path, "/../other");
  EXPECT_EQ(cgroup_.limit_bytes, kUnknown);
  MemoryUse use;
  EXPECT_FALSE(ReadMemoryUse(cgroup_, true, &use));
  EXPECT_EQ(use.WorkingSetBytes(), kUnknown);
  EXPECT_TRUE(Visit().empty());
}

TEST_F(CgroupTest, MountFromOutsideOfTheNamespace) {
  Process("0::/../other\n", Mount2("/..", "/cg"));
  Memory2("/cg/other", "10", 4);
  ASSERT_TRUE(Find());
  EXPECT_EQ(Directory(), "/cg/other");
}

TEST_F(CgroupTest, MountThatDoesNotSeemToHoldTheProcessButDoes) {
  Process("0::/elsewhere\n", Mount2("/docker/x", "/cg"));
  Memory2("/cg", "1000", 4);
  tree_.Write("/cg/cgroup.procs", "1\n");
  EXPECT_FALSE(Find());
  tree_.Write("/cg/cgroup.procs", "1\n" + std::to_string(getpid()) + "\n");
  ASSERT_TRUE(Find());
  EXPECT_EQ(Directory(), "/cg");
  EXPECT_EQ(cgroup_.limit_bytes, 1000u);
}

TEST_F(CgroupTest, OtherProcessThroughItsOwnMounts) {
  Process("0::/\n", Mount2("/", "/cg"));
  Memory2("/cg", "1000", 4);
  Process("0::/../target\n", Mount2("/../target", "/sys/fs/cgroup"), "/proc/42");
  Memory2("/proc/42/root/sys/fs/cgroup", "77", 7);
  ASSERT_TRUE(Find("/proc/42"));
  EXPECT_EQ(Directory(), "/proc/42/root/sys/fs/cgroup");
  EXPECT_EQ(cgroup_.limit_bytes, 77u);
}

TEST_F(CgroupTest, TheMountThatShowsMostCounts) {
  Process("0::/a/b\n", Mount2("/a/b", "/part") + Mount2("/", "/whole") + Mount2("/a", "/some"));
  Memory2("/part", "max", 4);
  Memory2("/some/b", "max", 4);
  Memory2("/some", "50", 4);
  Memory2("/whole/a/b", "max", 4);
  Memory2("/whole/a", "50", 4);
  ASSERT_TRUE(Find());
  EXPECT_EQ(Directory(), "/whole/a/b");
  EXPECT_EQ(LimitDirectory(), "/whole/a");
}

TEST_F(CgroupTest, Version1) {
  Process("9:name=systemd:/x\n8:pids:/p\n4:cpu,memory:/svc:1/app\n",
          CpuMount1() + MemoryMount1("/", "/sys/fs/cgroup/memory") +
              "39 22 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n");
  const std::string memory = "/sys/fs/cgroup/memory";
  Memory1(memory, kV1NoLimit, 900);
  Memory1(memory + "/svc:1", Lines(500), 300,
          "inactive_file 1\nhierarchical_memory_limit 500\ntotal_inactive_file 100\n");
  Memory1(memory + "/svc:1/app", kV1NoLimit, 200, "hierarchical_memory_limit 500\n");
  tree_.Write("/sys/fs/cgroup/pids/p/pids.current", "12\n");
  ASSERT_TRUE(Find());
  EXPECT_EQ(cgroup_.version, 1);
  EXPECT_STREQ(cgroup_.path, "/svc:1/app");
  EXPECT_EQ(Directory(), memory + "/svc:1/app");
  EXPECT_EQ(LimitDirectory(), memory + "/svc:1");
  EXPECT_EQ(cgroup_.limit_bytes, 500u);
  MemoryUse use;
  ASSERT_TRUE(ReadMemoryUse(cgroup_, true, &use));
  EXPECT_EQ(use.usage_bytes, 300u);
  EXPECT_EQ(use.WorkingSetBytes(), 200u);
  EXPECT_EQ(use.limit_bytes, 500u);
  const auto files = Visit();
  EXPECT_THAT(files, Contains(Pair("memory.usage_in_bytes", "200")));
  EXPECT_THAT(files, Contains(Pair("../memory.usage_in_bytes", "300")));
  EXPECT_THAT(files, Contains(Pair("pids.current", "12")));
  EXPECT_THAT(files, Not(Contains(Key("memory.failcnt"))));
}

TEST_F(CgroupTest, Version1WithoutALimit) {
  Process("4:memory:/\n", MemoryMount1("/", "/m"));
  Memory1("/m", "9223372036854710272\n", 200);  // 64 KiB pages
  ASSERT_TRUE(Find());
  EXPECT_EQ(cgroup_.limit_bytes, kUnknown);
  EXPECT_EQ(LimitDirectory(), "/m");
  MemoryUse use;
  ASSERT_TRUE(ReadMemoryUse(cgroup_, true, &use));
  EXPECT_EQ(use.limit_bytes, kUnknown);
}

TEST_F(CgroupTest, Version1LimitsAboveDoNotHoldWithoutHierarchy) {
  Process("4:memory:/a/b\n", MemoryMount1("/", "/m"));
  Memory1("/m/a/b", kV1NoLimit, 1);
  Memory1("/m/a", "100\n", 1);
  tree_.Write("/m/a/memory.use_hierarchy", "0\n");
  ASSERT_TRUE(Find());
  EXPECT_EQ(cgroup_.limit_bytes, kUnknown);
}

TEST_F(CgroupTest, Version1DockerBindMount) {
  const std::string path = std::string("/docker/") + kId;
  Process("4:memory:" + path + "/sub\n", MemoryMount1(path, "/sys/fs/cgroup/memory"));
  Memory1("/sys/fs/cgroup/memory", Lines(64 * kMiB), 10 * kMiB, "hierarchical_memory_limit 67108864\n");
  Memory1("/sys/fs/cgroup/memory/sub", kV1NoLimit, 5 * kMiB, "hierarchical_memory_limit 67108864\n");
  ASSERT_TRUE(Find());
  EXPECT_EQ(Directory(), "/sys/fs/cgroup/memory/sub");
  EXPECT_EQ(LimitDirectory(), "/sys/fs/cgroup/memory");
  EXPECT_EQ(cgroup_.limit_bytes, 64 * kMiB);
}

TEST_F(CgroupTest, Version1LimitAboveTheMount) {
  Process("4:memory:/pod/c\n", MemoryMount1("/pod/c", "/m"));
  Memory1("/m", "300\n", 100, "hierarchical_memory_limit 200\n");
  ASSERT_TRUE(Find());
  EXPECT_EQ(cgroup_.limit_bytes, 200u);
  EXPECT_EQ(LimitDirectory(), "/m");
}

TEST_F(CgroupTest, HybridUsesTheHierarchyWithTheMemoryController) {
  Process("4:memory:/a\n0::/b\n", Mount2("/", "/sys/fs/cgroup/unified") + MemoryMount1("/", "/sys/fs/cgroup/memory"));
  tree_.Write("/sys/fs/cgroup/unified/b/cgroup.procs", "");
  Memory1("/sys/fs/cgroup/memory/a", "300\n", 100);
  ASSERT_TRUE(Find());
  EXPECT_EQ(cgroup_.version, 1);
  EXPECT_EQ(Directory(), "/sys/fs/cgroup/memory/a");
  // The other way round: version 1 without the memory controller.
  Process("4:cpu:/a\n0::/b\n", CpuMount1() + Mount2("/", "/sys/fs/cgroup/unified"));
  Memory2("/sys/fs/cgroup/unified/b", "400", 100);
  ASSERT_TRUE(Find());
  EXPECT_EQ(cgroup_.version, 2);
  EXPECT_EQ(cgroup_.limit_bytes, 400u);
}

TEST_F(CgroupTest, EscapedMountPoint) {
  Process("0::/a b\n", Mount2("/", "/my\\040cg\\134x"));
  Memory2("/my cg\\x/a b", "400", 100);
  ASSERT_TRUE(Find());
  EXPECT_EQ(Directory(), "/my cg\\x/a b");
}

TEST_F(CgroupTest, SimilarNamesAreNotBelow) {
  Process("0::/ab\n", Mount2("/a", "/cg"));
  Memory2("/cg/b", "400", 100);
  Memory2("/cgb", "400", 100);
  EXPECT_FALSE(Find());
}

TEST_F(CgroupTest, NothingThere) {
  EXPECT_FALSE(Find());
  EXPECT_EQ(cgroup_.version, 0);
  Process("0::/gone (deleted)\n", Mount2("/", "/cg"));
  EXPECT_FALSE(Find());
  EXPECT_EQ(cgroup_.version, 2);
  Process("junk\n::\n:\n0::\n", "junk\n- cgroup2\n\n");
  EXPECT_FALSE(Find());
}

TEST_F(CgroupTest, MissingAndUnreadableFilesAreUnknown) {
  Process("0::/a\n", Mount2("/", "/cg"));
  tree_.Write("/cg/a/memory.current", "junk\n").Write("/cg/a/memory.events", "oom 1\n");
  ASSERT_TRUE(Find());
  MemoryUse use;
  EXPECT_FALSE(ReadMemoryUse(cgroup_, true, &use));
  EXPECT_EQ(use.usage_bytes, kUnknown);
  EXPECT_EQ(use.inactive_file_bytes, kUnknown);
  EXPECT_EQ(use.limit_bytes, kUnknown);
  EXPECT_THAT(Visit(), ElementsAre(Pair("memory.current", "junk"), Pair("memory.events", "oom 1")));
}

TEST_F(CgroupTest, OverlongPathsAreNotCut) {
  const std::string name(200, 'x');
  std::string path;
  for (int i = 0; i < 6; ++i) path += "/" + name;
  Process("0::" + path + "\n", Mount2("/", "/cg"));
  Memory2("/cg" + path, "400", 100);
  EXPECT_FALSE(Find());
}

TEST(LiveCgroup, OfThisProcess) {
  Cgroup cgroup;
  if (!FindCgroup("/proc/self", "", &cgroup)) GTEST_SKIP() << "no memory cgroup is mounted here";
  EXPECT_TRUE(std::ifstream(std::string(cgroup.directory) + "/cgroup.procs").good());
  MemoryUse use;
  if (!ReadMemoryUse(cgroup, true, &use)) GTEST_SKIP() << "the root cgroup of version 2 has no memory.current";
  EXPECT_GT(use.usage_bytes, 0u);
  EXPECT_LE(use.WorkingSetBytes(), use.usage_bytes);
  Cgroup by_pid;
  ASSERT_TRUE(FindCgroup(("/proc/" + std::to_string(getpid())).c_str(), "", &by_pid));
  EXPECT_STREQ(by_pid.directory, cgroup.directory);
  RecordProperty("directory", cgroup.directory);
}

}  // namespace
}  // namespace memtrace::rt
