#include "tools/analysis/process_state.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/tools/recording_builder.h"

namespace memtrace::tools {
namespace {

class ProcessStateTest : public testing::Test {
 protected:
  ProcessStateTest() : proc_(testing::TempDir() + "/proc-" + std::to_string(getpid())) {
    Write("sys/kernel/random/boot_id", "01020304-0506-0708-090a-0b0c0d0e0f10\n");
    Write("77/stat", "77 (a (b) c) S 1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 5555 1000 100\n");
    Write("77/status", "Name:\ta\nNSpid:\t77\t4242\n");
    for (uint8_t i = 0; i < 16; ++i) header_.boot_id[i] = static_cast<uint8_t>(i + 1);
    header_.process_start_ticks = 5555;
  }
  ~ProcessStateTest() override { std::filesystem::remove_all(proc_); }

  void Write(const std::string& name, const std::string& content) {
    const std::filesystem::path path = std::filesystem::path(proc_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << content;
  }

  std::string proc_;
  format::Header header_ = RecordingBuilder().header();
};

TEST_F(ProcessStateTest, RunningInAnotherPidNamespace) { EXPECT_EQ(StateName(header_, proc_), "running"); }

TEST_F(ProcessStateTest, OtherBootIsKilled) {
  header_.boot_id[0] = 99;
  EXPECT_EQ(StateName(header_, proc_), "killed");
}

TEST_F(ProcessStateTest, ReusedPidIsKilled) {
  header_.process_start_ticks = 5556;
  EXPECT_EQ(StateName(header_, proc_), "killed");
}

TEST_F(ProcessStateTest, OtherInnermostPidIsKilled) {
  header_.pid = 77;
  EXPECT_EQ(StateName(header_, proc_), "killed");
}

TEST_F(ProcessStateTest, ZombieIsKilled) {
  Write("77/stat", "77 (a) Z 1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 5555 0 0\n");
  EXPECT_EQ(StateName(header_, proc_), "killed");
}

TEST_F(ProcessStateTest, EndedStatesAreAsRecorded) {
  header_.state = static_cast<uint32_t>(format::State::kExited);
  EXPECT_EQ(StateName(header_, proc_), "exited");
  header_.state = static_cast<uint32_t>(format::State::kExec);
  EXPECT_EQ(StateName(header_, proc_), "exec");
  header_.state = static_cast<uint32_t>(format::State::kSnapshot);
  EXPECT_EQ(StateName(header_, proc_), "snapshot");
}

}  // namespace
}  // namespace memtrace::tools
