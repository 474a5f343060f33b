#include "tools/analysis/reachability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/tools/recording_builder.h"
#include "tools/analysis/report.h"

namespace memtrace::tools {
namespace {

using format::LookState;
using testing::HasSubstr;
using testing::IsEmpty;

void Answer(LookState state, RecordingBuilder* builder) { builder->header().look = static_cast<uint32_t>(state); }

// Blocks of 1000 bytes at 0x100000, 0x101000 and so on.
RecordingBuilder BlocksAtOneSite(int blocks) {
  RecordingBuilder builder;
  builder.AddModule("/bin/service", "\xab\xcd");
  const uint32_t node = builder.AddStack({0x1000, 0x1200});
  for (int i = 0; i < blocks; ++i) builder.Allocate(0x100000 + static_cast<uint64_t>(i) * 4096, 1000, node);
  return builder;
}

TEST(Reachability, MarksCountOnlyWithTheWordThatSaysSo) {
  RecordingBuilder builder = BlocksAtOneSite(5);
  builder.MarkLost(0x101000);
  builder.MarkLost(0x104000);
  for (const LookState state : {LookState::kNone, LookState::kUnderWay, LookState::kNoMemory}) {
    Answer(state, &builder);
    const Profile profile = builder.Decode();
    const SiteTable table = BuildSites(profile);
    EXPECT_FALSE(SumLost(profile, table));
    EXPECT_EQ(table.sites.at(0).lost_allocations, 0u);
  }
  Answer(LookState::kDone, &builder);
  const Profile profile = builder.Decode();
  const SiteTable table = BuildSites(profile);
  EXPECT_EQ(table.sites.at(0).lost_allocations, 2u);
  EXPECT_EQ(table.sites.at(0).lost_bytes, 2000u);
  EXPECT_EQ(SumLost(profile, table)->bytes, 2000u);
  EXPECT_EQ(LookName(profile), "done");
  EXPECT_THAT(WhyNotLooked(profile), IsEmpty());
}

TEST(Reachability, SaysWhyItIsNotKnown) {
  RecordingBuilder builder = BlocksAtOneSite(1);
  EXPECT_THAT(WhyNotLooked(builder.Decode()), IsEmpty());  // nobody asked
  Answer(LookState::kNotStopped, &builder);
  builder.header().look_error = EPERM;
  EXPECT_THAT(WhyNotLooked(builder.Decode()), HasSubstr("could not be stopped for it (Operation not permitted)."));
  builder.header().look = 4711;  // of a newer version, or of a hostile file
  EXPECT_EQ(LookName(builder.Decode()), "unknown");
  EXPECT_THAT(WhyNotLooked(builder.Decode()), HasSubstr("not known"));
}

TEST(Reachability, WhatWasLostStaysLost) {
  RecordingBuilder then = BlocksAtOneSite(4);
  then.MarkLost(0x100000);
  then.MarkLost(0x102000);
  Answer(LookState::kDone, &then);
  RecordingBuilder now;
  now.AddModule("/bin/service", "\xab\xcd");
  const uint32_t node = now.AddStack({0x1000, 0x1200});
  ProcessStates states;
  states.push_back(then.Decode());
  const uint64_t birth = states[0].live.at(0).birth;
  now.header().work_bytes = 1'000'000;
  now.AddLive(0x100000, 1000, node, birth);
  now.AddLive(0x101000, 1000, node, states[0].live.at(1).birth);
  now.AddLive(0x102000, 1000, node, 900'000);  // another block at the address of a lost one
  states.push_back(now.Decode());
  CarryLost(&states);
  EXPECT_TRUE(states[1].looked());
  EXPECT_TRUE(states[1].live.at(0).lost);
  EXPECT_FALSE(states[1].live.at(1).lost);
  EXPECT_FALSE(states[1].live.at(2).lost);
}

TEST(Reachability, WhatTheNewestStateSaysItselfHolds) {
  RecordingBuilder then = BlocksAtOneSite(1);
  then.MarkLost(0x100000);
  Answer(LookState::kDone, &then);
  RecordingBuilder now = BlocksAtOneSite(1);
  Answer(LookState::kNoMemory, &now);
  ProcessStates states;
  states.push_back(then.Decode());
  states.push_back(now.Decode());
  CarryLost(&states);
  EXPECT_FALSE(states[1].looked());
  EXPECT_EQ(LookName(states[1]), "no-memory");
}

}  // namespace
}  // namespace memtrace::tools
