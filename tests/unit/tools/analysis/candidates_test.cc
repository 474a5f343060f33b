#include "tools/analysis/candidates.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/tools/recording_builder.h"
#include "tools/analysis/report.h"

namespace memtrace::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// Code with names and lines, as a just-in-time compiler leaves them. Functions f0, f1, ... lie at 0x10000, 0x10100,
// ...; each 16 bytes of one are a line of their own.
class CandidatesTest : public testing::Test {
 protected:
  CandidatesTest() : code_(builder_.AddModule("", "", 0)) {}

  static constexpr uint64_t Pc(uint64_t function, uint64_t line = 0) {
    return 0x10000 + function * 0x100 + line * 0x10;
  }

  // `blocks` that live, among others that die at once, so that the work goes on evenly.
  void Leak(uint32_t stack, int blocks, uint64_t size = 1000) {
    for (int i = 0; i < blocks; ++i) builder_.Allocate(next_ += 4096, size, stack);
  }
  uint32_t Stack(std::initializer_list<uint64_t> pcs) { return builder_.AddStack(pcs, code_); }

  void Name() {
    std::string map;
    for (uint64_t function = 0; function < 64; ++function) {
      for (uint64_t line = 0; line < 16; ++line)
        map += fmt::format("{:x} 10 JS:~f{} app.js:{}:1\n", Pc(function, line), function, 100 * function + line + 1);
    }
    builder_.AddBlob(format::BlobKind::kProcFile, "perf.map", map);
  }
  void Decode() {
    Name();
    profile_ = builder_.Decode();
    table_ = BuildSites(profile_);
    frames_.emplace(profile_, &symbolizer_);
  }
  Report BuildWithNames() {
    Name();
    ProcessStates states;
    states.push_back(builder_.Decode());
    return BuildReport(std::move(states), &symbolizer_, "/nonexistent");
  }
  std::string PointOf(const Candidate& candidate) {
    const std::vector<uint32_t> stack = frames_->Stack(table_.sites[candidate.sites.front()].node);
    return frames_->frame(stack.at(candidate.point)).source.function;
  }

  RecordingBuilder builder_;
  uint16_t code_;
  uint64_t next_ = 0x1000000;
  Symbolizer symbolizer_{{}};
  Profile profile_;
  SiteTable table_;
  std::optional<FrameTable> frames_;
};

TEST_F(CandidatesTest, LinesArePlacesAndNamesArePaths) {
  Leak(Stack({Pc(0), Pc(1, 0)}), 3);
  Leak(Stack({Pc(0), Pc(1, 1)}), 2);
  Leak(Stack({Pc(0), Pc(2), Pc(1, 1)}), 1);
  Decode();
  const Places places(table_, &*frames_, 0);
  ASSERT_THAT(places.all().list, SizeIs(3));
  EXPECT_EQ(places.CountPaths(std::vector<uint32_t>{0, 1, 2}), 2u);
  const Candidates paths = places.Gather(Grouping::kPath, std::vector<uint32_t>{0, 1, 2});
  ASSERT_THAT(paths.list, SizeIs(2));
  EXPECT_THAT(paths.list[0].parts, ElementsAre(0, 1));
  EXPECT_EQ(paths.list[0].live_bytes, 5000u);
  const Candidates functions = places.Gather(Grouping::kFunction, std::vector<uint32_t>{0, 1, 2});
  ASSERT_THAT(functions.list, SizeIs(1));
  EXPECT_THAT(functions.list[0].parts, ElementsAre(0, 1, 2));
  EXPECT_EQ(PointOf(functions.list[0]), "f1");
}

TEST_F(CandidatesTest, GrowthIsFollowedUntilItScatters) {
  for (uint64_t i = 0; i < 8; ++i) Leak(Stack({Pc(0), Pc(1), Pc(2), Pc(10 + i)}), 1);
  Leak(Stack({Pc(0), Pc(3), Pc(20)}), 8);
  Leak(Stack({Pc(0), Pc(4), Pc(21)}), 1);
  Decode();
  const Places places(table_, &*frames_, 0);
  std::vector<uint32_t> all;
  std::vector<double> growth;
  for (uint32_t i = 0; i < places.all().list.size(); ++i) {
    all.push_back(i);
    growth.push_back(static_cast<double>(places.all().list[i].live_bytes));
  }
  const Candidates points = places.Accumulate(all, growth, 4000);
  ASSERT_THAT(points.list, SizeIs(2));
  const size_t scattered = points.list[0].parts.size() == 8 ? 0 : 1;
  EXPECT_THAT(points.list[scattered].parts, SizeIs(8));
  EXPECT_EQ(PointOf(points.list[scattered]), "f2");
  EXPECT_EQ(PointOf(points.list[1 - scattered]), "f20");
}

TEST_F(CandidatesTest, WhatHasNothingInCommonHasNoPoint) {
  for (uint64_t i = 0; i < 8; ++i) Leak(Stack({Pc(i), Pc(9)}), 1);
  Decode();
  const Places places(table_, &*frames_, 0);
  const std::vector<uint32_t> all = {0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_THAT(places.Accumulate(all, std::vector<double>(8, 1000), 4000).list, SizeIs(0));
}

TEST_F(CandidatesTest, AnObjectOfManyPartsIsOneSuspect) {
  const uint32_t buffers = Stack({Pc(0), Pc(9)});
  uint32_t parts[4];
  for (uint64_t i = 0; i < 4; ++i) parts[i] = Stack({Pc(0), Pc(1), Pc(2, i)});
  for (int i = 0; i < 400; ++i) {
    for (const uint32_t part : parts) Leak(part, 1);
    builder_.AllocateAndFree(4000, 1, buffers, 4000);
  }
  const Report report = BuildWithNames();
  ASSERT_THAT(report.suspects, SizeIs(1));
  const Suspect& suspect = report.suspects[0];
  EXPECT_EQ(suspect.places, 4u);
  EXPECT_EQ(suspect.paths, 1u);
  EXPECT_EQ(suspect.live_bytes, 1'600'000u);
  EXPECT_FALSE(suspect.below_point);
  EXPECT_THAT(suspect.why, HasSubstr("allocated at 4 places on the same call path"));
}

TEST_F(CandidatesTest, GrowthThatScattersIsFoundWhereItsPathsPart) {
  const uint32_t buffers = Stack({Pc(0), Pc(9)});
  std::vector<uint32_t> parts;
  for (uint64_t i = 0; i < 40; ++i) parts.push_back(Stack({Pc(0), Pc(1), Pc(20 + i)}));
  for (int i = 0; i < 40; ++i) {
    for (const uint32_t part : parts) {
      Leak(part, 1);
      builder_.AllocateAndFree(4000, 1, buffers, 4000);
    }
  }
  const Report report = BuildWithNames();
  ASSERT_THAT(report.suspects, SizeIs(1));
  const Suspect& suspect = report.suspects[0];
  EXPECT_EQ(suspect.places, 40u);
  EXPECT_TRUE(suspect.below_point);
  EXPECT_EQ(suspect.live_bytes, 1'600'000u);
  EXPECT_THAT(PlaceOf(suspect, report.table, report.frames.get()), HasSubstr("f1 (app.js:"));
}

TEST_F(CandidatesTest, TwoLeaksOfOneCallerAreRelated) {
  const uint32_t buffers = Stack({Pc(0), Pc(9)});
  const uint32_t first = Stack({Pc(0), Pc(1), Pc(2), Pc(3)});
  const uint32_t second = Stack({Pc(0), Pc(1), Pc(2), Pc(4)});
  for (int i = 0; i < 1000; ++i) {
    Leak(first, 1, 2000);
    Leak(second, 1, 1000);
    builder_.AllocateAndFree(4000, 1, buffers, 4000);
  }
  const Report report = BuildWithNames();
  ASSERT_THAT(report.suspects, SizeIs(2));
  ASSERT_THAT(report.suspects[1].related, SizeIs(1));
  EXPECT_EQ(report.suspects[1].related[0].id, report.suspects[0].id);
  EXPECT_EQ(report.suspects[1].related[0].frames, 3u);
}

}  // namespace
}  // namespace memtrace::tools
