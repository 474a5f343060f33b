#include "libmemtrace/core/summary.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "tests/unit/core/recorded_process.h"

namespace memtrace::core {
namespace {

constexpr uintptr_t kHeap = 0x7f1200000000;

[[gnu::noinline]] void Few() { Malloc(kHeap, 1000); }
[[gnu::noinline]] void Many() {
  for (uintptr_t i = 1; i <= 50; ++i) Malloc(kHeap + i * 65536, 40'000);
}

std::string Content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(SummaryTest, SaysWhatIsHeldLargestFirst) {
  RecordedProcess process;
  const std::string path = std::string(process.directory()) + "/message";
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [&path] {
                          Few();
                          Many();
                          std::ofstream(path) << std::string(5000, 'x');  // an older, longer message
                          WriteSummary(path.c_str(), "/snapshots/one", format::Trigger::kThreshold, 90);
                        }),
            0);
  const std::string text = Content(path);
  EXPECT_LE(text.size(), kMostSummaryBytes);
  for (const char* part : {"(pid ", ", 90 % of the memory limit\n", " in 51 blocks", "snapshot /snapshots/one\n",
                           "\n1. ", " in 50 blocks, 99 %", "\n2. ", "core_summary_test+0x"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_EQ(text.find('x', text.rfind("+0x") + 3), std::string::npos) << "the rest of the older one is gone";
}

TEST(SummaryTest, NothingIsFollowedOrWaitedFor) {
  RecordedProcess process;
  const std::string target = std::string(process.directory()) + "/target";
  const std::string link = std::string(process.directory()) + "/link";
  const std::string fifo = std::string(process.directory()) + "/fifo";
  std::ofstream(target) << "precious";
  ASSERT_EQ(symlink(target.c_str(), link.c_str()), 0);
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [&] {
                          Few();
                          for (const std::string& path : {link, fifo, std::string("/nowhere/file")}) {
                            WriteSummary(path.c_str(), "s", format::Trigger::kSignal, 0);
                          }
                        }),
            0);
  EXPECT_EQ(Content(target), "precious");
}

}  // namespace
}  // namespace memtrace::core
