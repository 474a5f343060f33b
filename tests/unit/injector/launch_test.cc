#include "injector/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

#include "tests/unit/rt/recorded_tree.h"

namespace memtrace::injector {
namespace {

using ::testing::ElementsAre;

TEST(PreloadList, OursComesFirstAndOnce) {
  EXPECT_EQ(PreloadList("/l.so", ""), "/l.so");
  EXPECT_EQ(PreloadList("/l.so", "libjemalloc.so.2"), "/l.so:libjemalloc.so.2");
  EXPECT_EQ(PreloadList("/l.so", "a.so b.so:c.so"), "/l.so:a.so:b.so:c.so");
  EXPECT_EQ(PreloadList("/l.so", "::a.so:/l.so "), "/l.so:a.so");
}

TEST(WithSettings, ReplacesAllOldValues) {
  const char* environment[] = {"A=1", "B=2", "A=3", "AA=4", "junk", "C=", nullptr};
  EXPECT_THAT(WithSettings(environment, {{"A", "x=y"}, {"D", ""}}),
              ElementsAre("B=2", "AA=4", "junk", "C=", "A=x=y", "D="));
  EXPECT_THAT(WithSettings(nullptr, {{"A", "1"}}), ElementsAre("A=1"));
}

class FindProgramTest : public ::testing::Test {
 protected:
  FindProgramTest() {
    tree_.Write("/one/plain", "").Write("/two/plain", "").Write("/two/tool", "").Write("/one/tool/file", "");
    chmod(tree_.In("/two/tool").c_str(), 0755);
    path_ = tree_.In("/none") + ":" + tree_.In("/one") + ":" + tree_.In("/two");
  }
  RecordedTree tree_;
  std::string path_;
};

TEST_F(FindProgramTest, SkipsDirectoriesAndWhatIsNotThere) {
  const FoundProgram found = FindProgram("tool", path_.c_str());
  EXPECT_EQ(found.path, tree_.In("/two/tool"));
  EXPECT_EQ(found.error, 0);
  EXPECT_EQ(FindProgram(tree_.In("/two/tool"), nullptr).path, tree_.In("/two/tool"));
}

TEST_F(FindProgramTest, TellsMissingFromNotExecutable) {
  EXPECT_EQ(FindProgram("plain", path_.c_str()).error, EACCES);
  EXPECT_EQ(FindProgram("absent", path_.c_str()).error, ENOENT);
  EXPECT_EQ(FindProgram("", path_.c_str()).error, ENOENT);
  EXPECT_EQ(FindProgram(tree_.In("/one/plain"), nullptr).error, EACCES);
  EXPECT_EQ(FindProgram(tree_.In("/one"), nullptr).error, EACCES);
  EXPECT_EQ(FindProgram(tree_.In("/one/plain/x"), nullptr).error, ENOENT);
}

}  // namespace
}  // namespace memtrace::injector
