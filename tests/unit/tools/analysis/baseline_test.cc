#include "tools/analysis/baseline.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/recording_builder.h"

namespace memtrace::tools {
namespace {

class BaselineTest : public testing::Test {
 protected:
  BaselineTest() {
    SymbolOptions options;
    options.enabled = false;
    symbolizer_ = std::make_unique<Symbolizer>(options);
  }
  Baseline Against(const RecordingBuilder& earlier, const RecordingBuilder& later) {
    now_ = std::make_unique<Profile>(later.Decode());
    table_ = BuildSites(*now_);
    frames_ = std::make_unique<FrameTable>(*now_, symbolizer_.get());
    return Compare(earlier.Decode(), *now_, table_, frames_.get(), symbolizer_.get());
  }

  std::unique_ptr<Symbolizer> symbolizer_;
  std::unique_ptr<Profile> now_;
  SiteTable table_;
  std::unique_ptr<FrameTable> frames_;
};

TEST_F(BaselineTest, FollowsBlocksOfTheSameProcess) {
  RecordingBuilder earlier;
  earlier.AddModule("/bin/service", "\xab\xcd");
  const uint32_t node = earlier.AddStack({0x1000, 0x1200});
  earlier.header().work_bytes = 10'000;
  for (uint64_t i = 0; i < 10; ++i) earlier.AddLive(0x100000 + i * 4096, 1000, node, i * 1000);

  RecordingBuilder later;
  later.AddModule("/bin/service", "\xab\xcd");
  later.AddStack({0x1000, 0x1200});
  later.header().work_bytes = 20'000;
  for (uint64_t i = 0; i < 4; ++i) later.AddLive(0x100000 + i * 4096, 1000, node, i * 1000);           // survived
  for (uint64_t i = 0; i < 9; ++i) later.AddLive(0x200000 + i * 4096, 1000, node, 11'000 + i * 1000);  // new

  const Baseline baseline = Against(earlier, later);
  EXPECT_TRUE(baseline.follows_blocks);
  ASSERT_EQ(baseline.sites.size(), 1u);
  const SiteDifference& site = baseline.sites[0];
  EXPECT_EQ(site.before.bytes, 10'000u);
  EXPECT_EQ(site.now.bytes, 13'000u);
  EXPECT_EQ(site.survived.blocks, 4u);
  EXPECT_EQ(site.fresh.bytes, 9'000u);
  EXPECT_EQ(site.freed.blocks, 6u);
  EXPECT_EQ(site.bytes(), 3'000);
  EXPECT_EQ(baseline.total.blocks(), 3);
}

TEST_F(BaselineTest, AnotherProcessIsComparedByItsFrames) {
  RecordingBuilder earlier;
  earlier.header().pid = 77;
  earlier.AddModule("/bin/service", "\xab\xcd", 0x7f0000000000);  // elsewhere in memory
  const uint32_t common = earlier.AddStack({0x1000, 0x1200});
  const uint32_t gone = earlier.AddStack({0x1000, 0x1300});
  earlier.Allocate(0x100000, 500, common);
  earlier.Allocate(0x200000, 70, gone);
  RecordingBuilder later;
  later.AddModule("/bin/service", "\xab\xcd");
  later.Allocate(0x300000, 800, later.AddStack({0x1000, 0x1200}));

  const Baseline baseline = Against(earlier, later);
  EXPECT_FALSE(baseline.follows_blocks);
  EXPECT_EQ(baseline.sites[0].bytes(), 300);
  ASSERT_EQ(baseline.gone.size(), 1u);
  EXPECT_EQ(baseline.of_gone[0].bytes(), -70);
  EXPECT_EQ(baseline.total.bytes(), 230);
  EXPECT_EQ(baseline.total.survived.bytes, 0u);
}

TEST_F(BaselineTest, ALaterStateIsNoBaselineForBlocks) {
  RecordingBuilder earlier;
  earlier.header().work_bytes = 10;
  RecordingBuilder later;
  later.header().work_bytes = 20;
  EXPECT_FALSE(Against(later, earlier).follows_blocks);
  EXPECT_TRUE(Against(earlier, later).follows_blocks);
}

}  // namespace
}  // namespace memtrace::tools
