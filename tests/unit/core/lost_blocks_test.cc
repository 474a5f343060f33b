#include "libmemtrace/core/lost_blocks.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <cstddef>
#include <fstream>

#include "libmemtrace/core/snapshot.h"
#include "tests/unit/core/recorded_process.h"

namespace memtrace::core {
namespace {

using format::LookState;

constexpr uintptr_t kHeap = 0x7f1200000000;
constexpr size_t kBallastBytes = 32 << 20;  // which the copy has to look through, and to give back at its end
const std::vector<std::string> kAsked = {"MEMTRACE_SAMPLE=1", "MEMTRACE_REACHABILITY=1"};

// What the header of the newest snapshot says of the search, as it changes.
LookState LookOfNewest(const RecordedProcess& process) {
  std::ifstream file(process.Files(".snap").back(), std::ios::binary);
  uint32_t look = 0;
  file.seekg(offsetof(format::Header, look)).read(reinterpret_cast<char*>(&look), sizeof(look));
  EXPECT_TRUE(file.good());
  return static_cast<LookState>(look);
}

LookState SearchToItsEnd(const RecordedProcess& process) {
  EXPECT_TRUE(TakeSnapshot(format::Trigger::kSignal, 0));
  LookState look;
  while ((look = LookOfNewest(process)) == LookState::kUnderWay) rt::Yield();
  return look;
}

class LostBlocksTest : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer's shadow takes longer to look through than a search may take";
#endif
  }
};

// The copy tells its result before it has given its memory back.
TEST_F(LostBlocksTest, OneSearchRightAfterAnother) {
  RecordedProcess process;
  EXPECT_EQ(process.Run(kAsked,
                        [&] {
                          const std::vector<char> ballast(kBallastBytes, 1);
                          Malloc(kHeap, 100);
                          if (SearchToItsEnd(process) == LookState::kNotStopped) return;  // ptrace is forbidden here
                          for (int i = 0; i < 10; ++i) EXPECT_EQ(SearchToItsEnd(process), LookState::kDone) << i;
                        }),
            0);
}

TEST_F(LostBlocksTest, NoSecondSearchBesideOneThatIsUnderWay) {
  RecordedProcess process;
  EXPECT_EQ(process.Run(kAsked,
                        [&] {
                          const std::vector<char> ballast(kBallastBytes, 1);
                          Malloc(kHeap, 100);
                          pid_t copy = 0;
                          LookState look = LookState::kDone;
                          for (int i = 0; i < 50 && look == LookState::kDone; ++i) {  // it may be faster than we are
                            ASSERT_TRUE(TakeSnapshot(format::Trigger::kSignal, 0));
                            copy = g_process.copy;
                            if (copy != 0) kill(copy, SIGSTOP);
                            look = LookOfNewest(process);
                            if (look != LookState::kUnderWay && copy != 0) kill(copy, SIGCONT);
                          }
                          if (look == LookState::kNotStopped) return;  // ptrace is forbidden here
                          ASSERT_EQ(look, LookState::kUnderWay);
                          EXPECT_EQ(SearchToItsEnd(process), LookState::kBusy);
                          kill(copy, SIGKILL);
                          while (!ReapCopy()) rt::Yield();
                          EXPECT_EQ(SearchToItsEnd(process), LookState::kDone);
                        }),
            0);
}

// Neither the parent's copy nor what that tells it is the child's.
TEST_F(LostBlocksTest, AForkedChildSearchesForItself) {
  RecordedProcess process;
  EXPECT_EQ(process.Run(kAsked,
                        [&] {
                          Malloc(kHeap, 100);
                          if (SearchToItsEnd(process) == LookState::kNotStopped) return;  // ptrace is forbidden here
                          const auto* progress = g_process.copy_progress;
                          ASSERT_NE(progress, nullptr);
                          EXPECT_EQ(RunInChild([&] {
                                      Malloc(kHeap + 4096, 100);
                                      EXPECT_EQ(SearchToItsEnd(process), LookState::kDone);
                                      EXPECT_NE(g_process.copy_progress, progress);
                                    }),
                                    0);
                        }),
            0);
  EXPECT_EQ(process.Files(".snap").size(), 2u);
}

}  // namespace
}  // namespace memtrace::core
