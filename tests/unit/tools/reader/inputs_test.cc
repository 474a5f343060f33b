#include "tools/reader/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/tools/recording_builder.h"

namespace memtrace::tools {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class InputsTest : public testing::Test {
 protected:
  InputsTest() : directory_(testing::TempDir() + "/inputs-" + std::to_string(getpid())) {
    std::filesystem::create_directories(directory_ + "/a/b");
  }
  ~InputsTest() override { std::filesystem::remove_all(directory_); }
  void Touch(const std::string& name) { std::ofstream(directory_ + "/" + name) << "x"; }

  std::string directory_;
};

TEST_F(InputsTest, ADirectoryIsItsRecordingsOneLevelDown) {
  for (const char* name : {"2.rec", "1.snap", "notes.txt", "a/3.rec", "a/b/4.rec"}) Touch(name);
  const auto files = ExpandPath(directory_);
  ASSERT_TRUE(files.ok());
  EXPECT_THAT(files.value(), ElementsAre(directory_ + "/1.snap", directory_ + "/2.rec", directory_ + "/a/3.rec"));
}

TEST_F(InputsTest, AnEmptyDirectoryIsAnError) { EXPECT_FALSE(ExpandPath(directory_).ok()); }

TEST_F(InputsTest, AFileIsItself) { EXPECT_THAT(ExpandPath("-").value(), ElementsAre("-")); }

Profile StateAt(uint32_t pid, format::State state, uint64_t seconds) {
  RecordingBuilder builder;
  builder.header().pid = pid;
  builder.header().state = static_cast<uint32_t>(state);
  builder.header().end_ns = RecordingBuilder::kStartNs + seconds * 1'000'000'000;
  return builder.Decode();
}

TEST(GroupTest, StatesOfOneProcessStandInTimeOrderWithTheRecordingLast) {
  std::vector<Profile> profiles;
  profiles.push_back(StateAt(1, format::State::kRunning, 0));
  profiles.push_back(StateAt(1, format::State::kSnapshot, 20));
  profiles.push_back(StateAt(2, format::State::kSnapshot, 15));
  profiles.push_back(StateAt(1, format::State::kSnapshot, 10));
  const std::vector<ProcessStates> processes = GroupByProcess(std::move(profiles));
  ASSERT_THAT(processes, SizeIs(2));
  ASSERT_THAT(processes[0], SizeIs(3));
  EXPECT_LT(processes[0][0].header.end_ns, processes[0][1].header.end_ns);
  EXPECT_FALSE(processes[0][2].is_snapshot());
  EXPECT_EQ(processes[1][0].header.pid, 2u);
}

}  // namespace
}  // namespace memtrace::tools
