#include "tools/analysis/resolution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace memtrace::tools {
namespace {

constexpr uint64_t kRate = 64 << 10;

// `blocks` of 100 bytes, each recorded one standing for the interval, the oldest first.
Profile Recorded(uint64_t blocks, uint64_t rate_bytes, uint64_t present_rate_bytes) {
  Profile profile;
  profile.work_bytes = 1000 * blocks;
  profile.header.rates[0].bytes = rate_bytes;
  profile.header.rates[1].bytes = present_rate_bytes;
  profile.header.rate_index = 1;
  for (uint64_t i = 0; i < blocks; ++i) {
    LiveBlock block;
    block.size = 100;
    block.birth = 1000 * i;
    block.rate_bytes = rate_bytes;
    profile.live.push_back(block);
  }
  profile.totals.live_bytes = blocks * rate_bytes;
  return profile;
}

TEST(ResolutionTest, EightBlocksAreNeeded) {
  const Resolution resolution = ResolutionOf(Recorded(200, kRate, kRate));
  EXPECT_NEAR(resolution.bytes_per_sample, kRate, 100);
  EXPECT_NEAR(resolution.unseen_bytes, 8 * kRate, 800);
  EXPECT_TRUE(resolution.is_fine());
  EXPECT_THAT(Words(resolution), testing::HasSubstr("less than 512.4 KiB"));
}

TEST(ResolutionTest, OfFewBlocksOnlyLargeLeaksShow) {
  EXPECT_FALSE(ResolutionOf(Recorded(100, kRate, kRate)).is_fine());
  EXPECT_FALSE(ResolutionOf(Recorded(100, kRate, kRate)).is_poor());
  EXPECT_TRUE(ResolutionOf(Recorded(30, kRate, kRate)).is_poor());
}

TEST(ResolutionTest, ExactRecordingShowsAll) {
  Profile profile = Recorded(30, 1, 1);
  EXPECT_EQ(ResolutionOf(profile).unseen_bytes, 0);
  EXPECT_TRUE(ResolutionOf(profile).is_fine());
}

// A table that was recorded exactly in the beginning says nothing about what comes now.
TEST(ResolutionTest, WhatComesNowCounts) {
  Profile profile = Recorded(1000, 4096, kRate);
  for (LiveBlock& block : profile.live) block.birth = 0;
  EXPECT_EQ(ResolutionOf(profile).bytes_per_sample, kRate);
  EXPECT_FALSE(ResolutionOf(profile).is_fine());
}

TEST(ResolutionTest, ASmallHeapIsNotPoor) { EXPECT_FALSE(ResolutionOf(Recorded(10, kRate, kRate)).is_poor()); }

}  // namespace
}  // namespace memtrace::tools
