#include "tools/analysis/suppressions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/tools/recording_builder.h"
#include "tools/analysis/report.h"

namespace memtrace::tools {
namespace {

TEST(SuppressionsTest, ReadsTheLinesThatAreMeantForLeaks) {
  const auto parsed = Suppressions::Parse("# known\n\n  leak:libfoo.so \r\nrace:bar\nleak:^main$", "file");
  ASSERT_TRUE(parsed.ok());
  EXPECT_FALSE(parsed.value().empty());
  EXPECT_TRUE(Suppressions::Parse("race:x\n", "file").value().empty());
  const auto wrong = Suppressions::Parse("leak:a\nnonsense\n", "file");
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().Text(), testing::HasSubstr("file:2"));
  EXPECT_FALSE(Suppressions::Parse("leak:\n", "file").ok());
  EXPECT_FALSE(Suppressions::Read("/nonexistent/file").ok());
}

TEST(SuppressionsTest, ExcusedSuspectsAreNoneAndNoVerdict) {
  SymbolOptions options;
  options.enabled = false;
  Symbolizer symbolizer(options);
  const auto report_with = [&](const std::string& text) {
    RecordingBuilder builder;
    builder.AddModule("/opt/libknown.so");
    const uint32_t leak = builder.AddStack({0x1000, 0x1200});
    for (uint64_t i = 0; i < 1000; ++i) builder.Allocate(0x100000 + i * 4096, 1000, leak);
    builder.header().end_ns = RecordingBuilder::kStartNs + 100'000'000'000;
    ProcessStates states;
    states.push_back(builder.Decode());
    return BuildReport(std::move(states), &symbolizer, "/nonexistent", Suppressions::Parse(text, "").value());
  };
  EXPECT_EQ(report_with("leak:other").suspects.size(), 1u);
  const Report excused = report_with("leak:libknown");
  EXPECT_EQ(excused.suspects.size(), 0u);
  EXPECT_EQ(excused.suppressed, 1u);
  EXPECT_NE(excused.verdict.cause, "native-leak");
}

}  // namespace
}  // namespace memtrace::tools
