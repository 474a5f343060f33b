#include "tools/render/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/unit/tools/recording_builder.h"
#include "tools/render/flame_tree.h"

namespace memtrace::tools {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class HtmlTest : public testing::Test {
 protected:
  static SymbolOptions NoSymbols() {
    SymbolOptions options;
    options.enabled = false;
    return options;
  }
  static RecordingBuilder Leaking(const std::string& module = "/bin/service") {
    RecordingBuilder builder;
    builder.AddModule(module, "\xab\xcd");
    const uint32_t leak = builder.AddStack({0x1000, 0x1200});
    for (uint64_t i = 0; i < 1000; ++i) builder.Allocate(0x100000 + i * 4096, 1000, leak);
    builder.AddBlob(format::BlobKind::kExecutable, "", module);
    builder.header().end_ns = RecordingBuilder::kStartNs + 100'000'000'000;
    return builder;
  }
  void Add(const RecordingBuilder& builder) {
    ProcessStates states;
    states.push_back(builder.Decode());
    reports_.push_back(BuildReport(std::move(states), &symbolizer_, "/nonexistent"));
  }
  std::string Page() {
    std::ostringstream out;
    WriteHtml(reports_, Metric::kLive, &out);
    return out.str();
  }
  static json DataOf(const std::string& page) {
    const std::string begin = "<script type=\"application/json\" id=\"data\">";
    const size_t at = page.find(begin) + begin.size();
    return json::parse(page.substr(at, page.find("</script>", at) - at));
  }

  Symbolizer symbolizer_{NoSymbols()};
  std::vector<Report> reports_;
};

TEST_F(HtmlTest, CarriesTheReport) {
  Add(Leaking());
  const json data = DataOf(Page());
  EXPECT_EQ(data["totals"]["live_bytes"], 1000000);
  EXPECT_EQ(data["verdict"]["cause"], "native-leak");
  EXPECT_EQ(data["suspects"][0]["blocks"], 1000);
  EXPECT_EQ(data["suspects"][0]["grown"].back()[1], 1000000);
  EXPECT_EQ(data["sites"]["all"], 1);
  uint64_t live = 0;
  for (const json& self : data["tree"]["self"][kLiveWeight]) live += self.get<uint64_t>();
  EXPECT_EQ(live, 1000000u);
  EXPECT_TRUE(data["baseline"].is_null());
}

TEST_F(HtmlTest, CarriesWhatIsLost) {
  RecordingBuilder builder = Leaking();
  builder.MarkLost(0x100000);
  builder.MarkLost(0x101000);
  Add(builder);
  EXPECT_TRUE(DataOf(Page())["recording"]["reachability"]["lost_bytes"].is_null());
  EXPECT_TRUE(DataOf(Page())["sites"]["rows"][0][6].is_null());  // not known
  reports_.clear();
  builder.header().look = static_cast<uint32_t>(format::LookState::kDone);
  Add(builder);
  const json data = DataOf(Page());
  EXPECT_EQ(data["recording"]["reachability"]["lost_bytes"], 2000);
  EXPECT_EQ(data["suspects"][0]["lost_bytes"], 2000);
  EXPECT_EQ(data["sites"]["rows"][0][6], 2000);
  EXPECT_THAT(data["verdict"]["summary"].get<std::string>(), HasSubstr("2.0 KiB in 2 blocks are lost for certain."));
  uint64_t lost = 0;
  for (const json& self : data["tree"]["self"][kLostWeight]) lost += self.get<uint64_t>();
  EXPECT_EQ(lost, 2000u);
}

TEST_F(HtmlTest, LoadsNothingFromElsewhere) {
  Add(Leaking());
  const std::string page = Page();
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, Not(HasSubstr("unsafe-inline")));
  for (const char* address : {"http:", "https:", "<link", "<img", "@import", "url(", " src=", " href="})
    EXPECT_THAT(page, Not(HasSubstr(address)));
}

TEST_F(HtmlTest, NamesFromTheRecordingAreText) {
  const std::string hostile = "/bin/</script><script>alert(1)</script><!--\"'&\xff";
  Add(Leaking(hostile));
  const std::string page = Page();
  size_t scripts = 0;
  for (size_t at = page.find("<script"); at != std::string::npos; at = page.find("<script", at + 1)) ++scripts;
  EXPECT_EQ(scripts, 2u);
  EXPECT_THAT(page, Not(HasSubstr("<!--")));
  EXPECT_THAT(page, Not(HasSubstr("\xff")));
  EXPECT_EQ(DataOf(page)["target"]["exe"], "/bin/</script><script>alert(1)</script><!--\"'&\xef\xbf\xbd");
}

TEST_F(HtmlTest, StaysSmallWhateverTheInput) {
  RecordingBuilder builder;
  const uint16_t module = builder.AddModule("/bin/" + std::string(300, 'm'));
  for (uint64_t i = 1; i <= 4000; ++i) {
    const uint32_t node =
        builder.AddStack({0x1000 + i % 7, i * 0x1000, i * 0x2000, i * 0x3000 + 1, i * 0x4000 + 2}, module);
    builder.Allocate(0x100000 + i * 4096, 100 + i, node);
  }
  for (uint64_t i = 0; i < 4000; ++i)
    builder.AddTimeline({.time_ns = RecordingBuilder::kStartNs + i * 1000,
                         .work_bytes = i,
                         .live_bytes = i,
                         .live_blocks = 1,
                         .cgroup_usage_bytes = i,
                         .cgroup_working_set_bytes = i,
                         .cgroup_limit_bytes = 1,
                         .rss_bytes = 1});
  builder.AddBlob(format::BlobKind::kCommand, "", std::string(5'000'000, 'c'));
  Add(builder);
  const std::string page = Page();
  EXPECT_LE(page.size(), kLargestPage);
  const json data = DataOf(page);
  uint64_t live = 0;
  for (const json& self : data["tree"]["self"][kLiveWeight]) live += self.get<uint64_t>();
  EXPECT_EQ(live, data["totals"]["live_bytes"].get<uint64_t>());  // what is folded still counts
  EXPECT_EQ(data["sites"]["all"], reports_[0].table.sites.size());
  EXPECT_GT(data["sites"]["rows"].size(), 100u);
}

TEST_F(HtmlTest, ANothingIsAPageToo) {
  Add(RecordingBuilder());
  const json data = DataOf(Page());
  EXPECT_EQ(data["sites"]["rows"], json::array());
  EXPECT_EQ(data["tree"]["parent"], json::array({0}));
}

class FlameTreeTest : public HtmlTest {};

TEST_F(FlameTreeTest, FoldsTheSmallestAndKeepsTheSums) {
  RecordingBuilder builder;
  builder.AddModule("/bin/service");
  std::vector<uint32_t> nodes;
  for (uint64_t i = 0; i < 10; ++i) nodes.push_back(builder.AddStack({0x10, 0x20 + i, 0x100 + i}));
  for (uint64_t i = 0; i < 10; ++i) builder.Allocate(0x100000 + i * 65536, uint64_t{1} << i, nodes[i]);
  Add(builder);
  FlameTreeBuilder trees;
  for (const Site& site : reports_[0].table.sites) trees.Add(reports_[0].frames.get(), site.node, {site.live_bytes});

  const FlameTree whole = trees.Fold(1000);
  EXPECT_EQ(whole.nodes.size(), 22u);      // the root, its one child, two for each stack
  const FlameTree folded = trees.Fold(6);  // the root, its child, the two heaviest stacks, and one node for the rest
  ASSERT_EQ(folded.nodes.size(), 7u);
  EXPECT_EQ(folded.leaves.size(), 10u);
  uint64_t sum = 0;
  uint64_t rest = 0;
  for (size_t i = 0; i < folded.nodes.size(); ++i) {
    EXPECT_TRUE(i == 0 || folded.nodes[i].parent < i);
    sum += folded.nodes[i].self[kLiveWeight];
    if (folded.nodes[i].frame == FlameTree::kFoldedFrame) rest += folded.nodes[i].self[kLiveWeight];
  }
  EXPECT_EQ(sum, 1023u);
  EXPECT_EQ(rest, 255u);
}

}  // namespace
}  // namespace memtrace::tools
