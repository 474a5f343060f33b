#include "tools/analysis/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace memtrace::tools {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr uint64_t kWork = 1 << 30;

// A site whose part of all allocation is still 25 %, after 27 %, and of which half as much comes to stay as before.
Suspect Slower(Slowing slowing, SuspectKind kind) {
  Suspect suspect;
  suspect.kind = kind;
  suspect.survival.window_share = 0.25;
  suspect.survival.earlier_share = 0.27;
  suspect.survival.never_dies = 1;
  suspect.survival.slowing = slowing;
  suspect.survival.fewer_stay = true;
  suspect.survival.faster = 0.3;
  suspect.survival.slower = 0.15;
  return suspect;
}

std::string Text(const Suspect& suspect) { return Explain(suspect, kWork, {}, {}); }

TEST(ExplainTest, FillingQuotesWhatFell) {
  const std::string text = Text(Slower(Slowing::kClearly, SuspectKind::kStillFilling));
  EXPECT_THAT(text, AllOf(HasSubstr("stay fell from 30 % to 15 %"), HasSubstr("still filling than a leak"),
                          Not(HasSubstr("27 %"))));
}

TEST(ExplainTest, ADoubtIsSaidOfWhatGrows) {
  const std::string text = Text(Slower(Slowing::kMaybe, SuspectKind::kGrowing));
  EXPECT_THAT(text, AllOf(HasSubstr("It may still be filling: what comes from here to stay fell from 30 % to 15 %"),
                          Not(HasSubstr("does not fall"))));
}

TEST(ExplainTest, WhereNothingFellNoNumbersAreQuoted) {
  EXPECT_THAT(Text(Slower(Slowing::kNo, SuspectKind::kStillFilling)), Not(HasSubstr("fell from")));
  EXPECT_THAT(Text(Slower(Slowing::kNo, SuspectKind::kGrowing)), HasSubstr("its rate does not fall"));
}

TEST(ExplainTest, WhatIsLostForCertainIsNotDoubted) {
  Suspect lost = Slower(Slowing::kMaybe, SuspectKind::kGrowing);
  lost.confidence = Confidence::kConfirmed;
  EXPECT_THAT(Text(lost), AllOf(Not(HasSubstr("filling")), Not(HasSubstr("does not fall"))));
}

}  // namespace
}  // namespace memtrace::tools
