#include "injector/memory_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/rt/recorded_tree.h"

namespace memtrace::injector {
namespace {

using ::testing::HasSubstr;

class MemoryCheckTest : public ::testing::Test {
 protected:
  MemoryCheckTest() {
    tree_.Write("/proc/self/cgroup", "0::/\n")
        .Write("/proc/self/mountinfo", "30 22 0:26 / /cg ro - cgroup2 cgroup2 rw\n")
        .Write("/cg/memory.max", "104857600\n")
        .Write("/cg/memory.current", "94371840\n")  // 90 MiB of 100
        .Write("/cg/memory.stat", "inactive_file 10485760\n");
  }
  CheckResult Check(double threshold = 80, bool count_page_cache = false, const std::string& pid = "") {
    return CheckMemory({threshold, count_page_cache, pid, tree_.root()});
  }
  RecordedTree tree_;
};

TEST_F(MemoryCheckTest, WorkingSetAgainstTheThreshold) {
  EXPECT_EQ(Check(80).status, kCheckAbove);
  EXPECT_EQ(Check(80.1).status, kCheckBelow);
  EXPECT_THAT(Check(80.1).line, HasSubstr("80.0% of the memory limit, 80.0 MiB of 100.0 MiB in the working set"));
  EXPECT_THAT(Check(50).line, HasSubstr("above 50.0%: 80.0%"));
  EXPECT_EQ(Check(50).line.find('\n'), std::string::npos);
}

TEST_F(MemoryCheckTest, UsageCountsPageCache) {
  EXPECT_EQ(Check(85, true).status, kCheckAbove);
  EXPECT_EQ(Check(85, false).status, kCheckBelow);
  EXPECT_THAT(Check(85, true).line, HasSubstr("90.0%"));
}

TEST_F(MemoryCheckTest, OtherProcess) {
  tree_.Write("/proc/7/cgroup", "0::/sub\n")
      .Write("/cg/sub/memory.max", "100\n")
      .Write("/cg/sub/memory.current", "10\n")
      .Write("/cg/sub/memory.stat", "inactive_file 0\n");
  EXPECT_EQ(Check(80, false, "7").status, kCheckBelow);
  EXPECT_EQ(Check(80, false, "8").status, kCheckUnknown);
  EXPECT_THAT(Check(80, false, "8").line, HasSubstr("no process 8"));
}

TEST_F(MemoryCheckTest, WhatIsUnknownIsSaid) {
  tree_.Remove("/cg/memory.stat");
  EXPECT_EQ(Check().status, kCheckUnknown);
  EXPECT_THAT(Check().line, HasSubstr("--usage"));
  EXPECT_EQ(Check(80, true).status, kCheckAbove);
  tree_.Write("/cg/memory.max", "max\n");
  EXPECT_THAT(Check().line, HasSubstr("no memory limit"));
  tree_.Remove("/cg/memory.current");
  EXPECT_THAT(Check().line, HasSubstr("not readable"));
  tree_.Write("/proc/self/mountinfo", "");
  EXPECT_THAT(Check().line, HasSubstr("no mount"));
  tree_.Write("/proc/self/cgroup", "");
  EXPECT_THAT(Check().line, HasSubstr("no memory cgroup"));
  tree_.Remove("/proc");
  EXPECT_THAT(Check().line, HasSubstr("/proc"));
  EXPECT_EQ(Check().status, kCheckUnknown);
}

}  // namespace
}  // namespace memtrace::injector
