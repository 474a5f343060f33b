#include "tools/analysis/survival.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>

#include "tests/unit/tools/analysis/service.h"
#include "tests/unit/tools/recording_builder.h"
#include "tools/analysis/suspects.h"

namespace memtrace::tools {
namespace {

constexpr uint64_t kWork = uint64_t{3} << 28;  // the last octave, [2^29, 2^30), is half over

SiteHistory Steady(double share) {
  SiteHistory history;
  for (int i = 0; i < format::kOctaves; ++i) {
    const double begin = i == 0 ? 0 : std::ldexp(1, 15 + i);
    const double end = std::min(std::ldexp(1, 16 + i), static_cast<double>(kWork));
    if (begin < end) history.allocated[i] = share * (end - begin);
  }
  history.bytes_per_sample = 1000;
  return history;
}

// Everything ever allocated at a steady rate is alive: ages are spread evenly.
SiteHistory PureLeak(double share) {
  SiteHistory history = Steady(share);
  for (int i = 0; i < format::kOctaves; ++i) {
    const double begin = i == 0 ? 0 : std::ldexp(1, 11 + i);
    const double end = i + 1 == format::kOctaves ? kWork : std::min(std::ldexp(1, 12 + i), static_cast<double>(kWork));
    if (begin < end) history.alive[i] = share * (end - begin);
  }
  return history;
}

TEST(SurvivalTest, ALeakNeverDiesAndItsRateIsRight) {
  const Survival survival = AnalyseSurvival(PureLeak(0.02), kWork);
  EXPECT_DOUBLE_EQ(survival.never_dies, 1);
  EXPECT_FALSE(survival.any_death);
  // The window is the last two octaves of the clock, and the unfinished one counts with its true length.
  EXPECT_EQ(survival.window_begin, uint64_t{1} << 28);
  EXPECT_NEAR(survival.growth, 0.02, 1e-9);
  EXPECT_NEAR(survival.score, 0.02 * kWork, 1);
}

TEST(SurvivalTest, WhatDiesYoungDoesNotGrow) {
  SiteHistory history = Steady(0.5);
  history.died[3] = 0.5 * kWork;
  EXPECT_DOUBLE_EQ(AnalyseSurvival(history, kWork).score, 0);
}

TEST(SurvivalTest, HalfThatDiesYoungHalvesTheGrowth) {
  SiteHistory history = PureLeak(0.02);
  for (double& bytes : history.alive) bytes /= 2;
  history.died[1] = 0.01 * kWork;
  const Survival survival = AnalyseSurvival(history, kWork);
  EXPECT_NEAR(survival.never_dies, 0.5, 0.01);
  EXPECT_GT(survival.log_error, 0);
}

TEST(SurvivalTest, AStartUpTableDoesNotGrow) {
  SiteHistory history;
  history.allocated[8] = 20e6;
  history.alive[format::AgeColumn(kWork)] = 20e6;
  EXPECT_DOUBLE_EQ(AnalyseSurvival(history, kWork).score, 0);
}

TEST(SurvivalTest, GreenwoodShrinksWithSamples) {
  SiteHistory history = PureLeak(0.02);
  history.died[10] = 0.01 * kWork;
  const double many = AnalyseSurvival(history, kWork).log_error;
  history.bytes_per_sample = 100000;
  EXPECT_NEAR(AnalyseSurvival(history, kWork).log_error / many, 10, 0.01);
}

// Replaced as a whole every ninth of the work: nothing survives that, however young what is alive.
TEST(SurvivalTest, OneAgeAtDeathLeavesNoSurvivors) {
  SiteHistory history = Steady(0.05);
  const int octave = format::AgeColumn(kWork / 9);
  history.died[octave] = 0.05 * kWork * 8 / 9;
  history.alive[octave] = 0.05 * kWork / 9;
  EXPECT_DOUBLE_EQ(AnalyseSurvival(history, kWork).score, 0);
}

// Those who came early stay, newcomers die young: a cache that keeps the popular.
TEST(SurvivalTest, OnlyTheOldSurvivingIsNoGrowth) {
  SiteHistory history = Steady(0.05);
  history.died[6] = 0.04 * kWork;
  history.alive[format::AgeColumn(kWork)] = 0.01 * kWork;
  const Survival survival = AnalyseSurvival(history, kWork);
  EXPECT_LT(survival.score, 0.0005 * kWork);
  EXPECT_EQ(survival.behaviour, Behaviour::kStartUp);
}

// What is live is no more than it was when the present octave of the work began: full, whatever the ages say.
TEST(SurvivalTest, NoMoreThanBeforeIsNoGrowth) {
  SiteHistory history = PureLeak(0.02);
  history.grown = {1e6, 1.5e6};
  EXPECT_NEAR(AnalyseSurvival(history, kWork).score, 1e6 / (kWork - std::ldexp(1, 29)) * kWork, 1);
  history.grown = {0, 0};
  EXPECT_DOUBLE_EQ(AnalyseSurvival(history, kWork).score, 0);
}

TEST(SurvivalTest, ATableThatWasJustBuiltHasStopped) {
  SiteHistory history = PureLeak(0.5);
  for (int i = 0; i < format::AgeColumn(kWork / 5); ++i) history.alive[i] = 0;
  EXPECT_DOUBLE_EQ(AnalyseSurvival(history, kWork).score, 0);
}

// Every block is twice as large as the one before it, and lives until the next one is full.
TEST(SurvivalTest, ABufferThatDoublesGrows) {
  SiteHistory history;
  double size = 64;
  for (double work = 640; work < kWork; work *= 2, size *= 2) {
    history.allocated[format::WorkColumn(static_cast<uint64_t>(work)) - format::kOctaves] += size;
    if (work * 2 < kWork)
      history.died[format::AgeColumn(static_cast<uint64_t>(work))] += size;
    else
      history.alive[format::AgeColumn(kWork - static_cast<uint64_t>(work))] = size;
    ++history.allocations;
  }
  history.live_blocks = 1;
  const Survival survival = AnalyseSurvival(history, kWork);
  EXPECT_TRUE(survival.one_buffer);
  EXPECT_EQ(survival.behaviour, Behaviour::kGrowing);
  EXPECT_NEAR(survival.score, size / 2, 1);
  history.allocations = 2;  // as large as the average: a buffer that was replaced, not one that grows
  EXPECT_FALSE(AnalyseSurvival(history, kWork).one_buffer);
}

// Every block is a step larger than the one before it; other work goes on beside it.
TEST(SurvivalTest, ABufferThatGrowsBySteps) {
  constexpr int kSteps = 1000;
  constexpr double kStep = 4096;
  constexpr double kOtherWork = 1 << 24;
  const auto run = [&](auto size_of) {
    SiteHistory history;
    double now = 0;
    for (int i = 1; i <= kSteps; ++i) {
      const double size = size_of(i);
      history.allocated[format::WorkColumn(static_cast<uint64_t>(now)) - format::kOctaves] += size;
      now += size + kOtherWork;
      if (i < kSteps) history.died[format::AgeColumn(static_cast<uint64_t>(size + kOtherWork))] += size;
      if (i == kSteps) history.alive[0] = size;
    }
    history.allocations = kSteps;
    history.live_blocks = 1;
    return AnalyseSurvival(history, static_cast<uint64_t>(now));
  };
  const Survival grown = run([&](int i) { return i * kStep; });
  EXPECT_TRUE(grown.one_buffer);
  EXPECT_EQ(grown.behaviour, Behaviour::kGrowing);
  // The same sizes in any order, the largest last: a buffer for whatever comes.
  EXPECT_FALSE(run([&](int i) { return i == kSteps ? kSteps * kStep : (i * 617 % kSteps) * kStep; }).one_buffer);
}

// Blocks of 1000 bytes that never die, `count(age)` of them at each age on a fine grid.
template <typename Count>
SiteHistory Undying(Count count) {
  SiteHistory history = Steady(0.02);
  const double recent = kRecentSpans * RecentSpan(kWork);
  for (double age = 1 << 20; age < kWork; age += 1 << 20) {
    const double bytes = 1000.0 * count(age);
    history.alive[format::AgeColumn(static_cast<uint64_t>(age))] += bytes;
    if (age < recent) history.recent[static_cast<size_t>(age / recent * kRecentParts)] += bytes;
  }
  return history;
}

TEST(SurvivalTest, WhatComesHalfAsFastIsStillFilling) {
  const double span = RecentSpan(kWork);
  EXPECT_EQ(AnalyseSurvival(Undying([](double) { return 100; }), kWork).behaviour, Behaviour::kGrowing);
  const SiteHistory slower = Undying([&](double age) { return age < span ? 50 : 100; });
  EXPECT_EQ(AnalyseSurvival(slower, kWork).behaviour, Behaviour::kStillFilling);
}

// One burst lately and six in the three times as long before, where two and six were as fast.
TEST(SurvivalTest, OneBurstLessIsChance) {
  const SiteHistory bursts = Undying([](double age) { return std::fmod(age, 64 << 20) == 32 << 20 ? 6000 : 0; });
  SiteHistory fewer = bursts;
  fewer.recent[2] = 0;
  fewer.alive[format::AgeColumn(32 << 20)] = 0;
  const Survival survival = AnalyseSurvival(fewer, kWork);
  EXPECT_EQ(survival.behaviour, Behaviour::kGrowing);
  EXPECT_LT(survival.window_events, 20);
  fewer.recent.fill(1e6);  // had the same bytes not come in bursts
  EXPECT_EQ(AnalyseSurvival(fewer, kWork).behaviour, Behaviour::kStillFilling);
}

// As many a second as before, while the process does much more beside it.
TEST(SurvivalTest, LessOfTheWorkAndAsMuchOfTheTimeIsGrowth) {
  const double span = RecentSpan(kWork);
  RecordingBuilder builder;
  builder.header().work_bytes = kWork;
  format::TimelinePoint point{};
  point.time_ns = RecordingBuilder::kStartNs + 95'000'000'000;
  point.work_bytes = kWork - static_cast<uint64_t>(span);
  builder.AddTimeline(point);
  const WorkClock busier(builder.Decode(), RecordingBuilder::kStartNs + 100'000'000'000);
  const SiteHistory history = Undying([&](double age) { return age < span ? 50 : 100; });
  EXPECT_EQ(AnalyseSurvival(history, kWork, &busier).behaviour, Behaviour::kGrowing);
}

TEST(SurvivalTest, WhatIsAllYoungHasHadNoTimeToDie) {
  const auto up_to = [](double oldest) {
    SiteHistory history = Undying([&](double age) { return age < oldest ? 100 : 0; });
    history.allocated.fill(0);
    history.allocated[format::WorkColumn(kWork - 1) - format::kOctaves] = oldest / 10;
    return AnalyseSurvival(history, kWork);
  };
  EXPECT_EQ(up_to(kWork / 32.0).behaviour, Behaviour::kUnknown);
  EXPECT_EQ(up_to(kWork / 32.0).score, 0);
  EXPECT_EQ(up_to(kWork / 5.0).behaviour, Behaviour::kGrowing);
}

// A site whose blocks come at random and never die: `samples` of them recorded at a rate that falls by exp(-`falls`) in
// the end. Half of them die at once where `temporary`.
SiteHistory RandomHistory(uint64_t work_bytes, int samples, double falls, bool temporary, std::mt19937_64* random) {
  const auto work = static_cast<double>(work_bytes);
  const double recent = kRecentSpans * RecentSpan(work_bytes);
  SiteHistory history;
  history.bytes_per_sample = 0.1 * work / samples;
  std::uniform_real_distribution<> uniform(0, 1);
  std::exponential_distribution<> gap(samples);
  for (double x = gap(*random); x < 1; x += gap(*random)) {
    // From a uniform rate to a falling one: the inverse of its integral.
    const double time = falls > 0 ? -std::log1p(x * std::expm1(-falls)) / falls : x;
    const double age = (1 - time) * work;
    history.allocated[format::WorkColumn(static_cast<uint64_t>(time * work)) - format::kOctaves] +=
        history.bytes_per_sample;
    ++history.allocations;
    if (temporary && uniform(*random) < 0.5) {
      history.died[0] += history.bytes_per_sample;
      continue;
    }
    history.alive[format::AgeColumn(static_cast<uint64_t>(age))] += history.bytes_per_sample;
    if (age < recent) history.recent[static_cast<size_t>(age / recent * kRecentParts)] += history.bytes_per_sample;
    ++history.live_blocks;
  }
  return history;
}

struct Words {
  double filling = 0;
  double doubted = 0;  // growing, and may be filling
};
Words ShareOfWords(uint64_t work_bytes, int samples, double falls, bool temporary, int histories) {
  std::mt19937_64 random(work_bytes + static_cast<uint64_t>(samples));
  Words words;
  for (int i = 0; i < histories; ++i) {
    const Survival survival =
        AnalyseSurvival(RandomHistory(work_bytes, samples, falls, temporary, &random), work_bytes);
    words.filling += survival.behaviour == Behaviour::kStillFilling;
    words.doubted += survival.behaviour == Behaviour::kGrowing && survival.slowing == Slowing::kMaybe;
    EXPECT_TRUE(survival.slowing == Slowing::kNo || survival.slower < 0.7 * survival.faster);
  }
  return {words.filling / histories, words.doubted / histories};
}

// Work that ends anywhere between two octaves.
constexpr uint64_t kWorks[] = {uint64_t{1} << 29, uint64_t{5} << 27, uint64_t{3} << 28, uint64_t{15} << 26};

TEST(SurvivalTest, ChanceMakesNoSteadyLeakFill) {
  constexpr int kHistories = 2000;
  for (const int samples : {40, 80, 200, 1000}) {
    Words mean;
    for (const uint64_t work : kWorks) {
      for (const bool temporary : {false, true}) {
        const Words words = ShareOfWords(work, samples, 0, temporary, kHistories);
        mean.filling += words.filling / (2 * std::size(kWorks));
        mean.doubted += words.doubted / (2 * std::size(kWorks));
      }
    }
    EXPECT_LT(mean.filling, 0.0005) << samples;  // about one in 10,000
    EXPECT_LT(mean.doubted, 0.1) << samples;
  }
}

// What comes e squared times more slowly at last than at first is called filling where it was recorded well enough, and
// doubted where not.
TEST(SurvivalTest, WhatSlowsDownIsSeenToFill) {
  constexpr int kHistories = 300;
  for (const uint64_t work : kWorks) {
    SCOPED_TRACE(work);
    EXPECT_GT(ShareOfWords(work, 1000, 2, false, kHistories).filling, 0.99);
    EXPECT_GT(ShareOfWords(work, 4000, 2, true, kHistories).filling, 0.85);
    const Words few = ShareOfWords(work, 80, 2, false, kHistories);
    EXPECT_GT(few.filling + few.doubted, 0.9);
  }
}

TEST(SurvivalTest, AnythingAtAllGivesFiniteNumbers) {
  SiteHistory history;
  history.died.fill(1e18);
  history.allocated.fill(1e18);
  for (const uint64_t work : {uint64_t{0}, uint64_t{1}, uint64_t{70000}, ~uint64_t{0} >> 1}) {
    const Survival survival = AnalyseSurvival(history, work);
    EXPECT_TRUE(std::isfinite(survival.score)) << work;
    EXPECT_TRUE(std::isfinite(survival.window_share)) << work;
  }
}

TEST(JudgeTest, NeverFreedAndSlowingDownIsStillFilling) {
  Survival survival = AnalyseSurvival(PureLeak(0.02), kWork);
  const SuspectLimits limits{30 << 20, std::nullopt};
  EXPECT_EQ(Judge(survival, limits), SuspectKind::kGrowing);
  survival.behaviour = Behaviour::kStillFilling;
  EXPECT_EQ(Judge(survival, limits), SuspectKind::kStillFilling);
}

TEST(JudgeTest, WhatIsBuiltUpInTheFirstMomentIsStillFilling) {
  const Survival survival = AnalyseSurvival(PureLeak(0.02), kWork);
  EXPECT_EQ(Judge(survival, {30 << 20, std::nullopt, true}), SuspectKind::kStillFilling);
}

// A table of which a little is still added.
TEST(JudgeTest, WhatGrowsByASmallPartOfItselfIsInnocent) {
  const Survival survival = AnalyseSurvival(Undying([](double age) { return age > kWork * 0.9 ? 10000 : 100; }), kWork);
  EXPECT_EQ(survival.behaviour, Behaviour::kStartUp);
  EXPECT_EQ(Judge(survival, {20 << 20, std::nullopt}), std::nullopt);
}

TEST(JudgeTest, AShareOfTheHeapOrOfTheLimitIsNeeded) {
  const Survival survival = AnalyseSurvival(PureLeak(0.02), kWork);  // about 15 MiB
  EXPECT_EQ(Judge(survival, {uint64_t{1} << 30, std::nullopt}), std::nullopt);
  EXPECT_NE(Judge(survival, {uint64_t{1} << 30, uint64_t{1} << 29}), std::nullopt);
}

TEST(JudgeTest, AFewBlocksAreNoTrend) {
  SiteHistory history = PureLeak(0.02);
  history.bytes_per_sample = 3e6;
  EXPECT_EQ(Judge(AnalyseSurvival(history, kWork), {30 << 20, std::nullopt}), std::nullopt);
}

// Fourteen of its blocks were recorded lately, and a third of all survived so far; of the newcomers one is there.
TEST(JudgeTest, OneNewcomerThatStaysIsNoTrend) {
  SiteHistory history = Steady(0.02);
  history.bytes_per_sample = 0.02 * kWork / 22;
  const auto blocks = [&](double count) { return count * history.bytes_per_sample; };
  history.died[1] = blocks(13);
  history.alive[format::AgeColumn(kWork / 30)] = blocks(1);
  history.alive[format::AgeColumn(kWork / 2)] = blocks(2);
  history.alive[format::AgeColumn(kWork - 1)] = blocks(6);
  const Survival survival = AnalyseSurvival(history, kWork);
  const SuspectLimits limits{static_cast<uint64_t>(blocks(17)), std::nullopt};
  EXPECT_GT(survival.score, 0.1 * static_cast<double>(limits.live_bytes));
  EXPECT_EQ(Judge(survival, limits), std::nullopt);
}

class ServiceTest : public testing::TestWithParam<Leak> {};

// The leak first, the innocents an eighth of it at most and never suspected; exact and sampled.
TEST_P(ServiceTest, TheLeakComesFirst) {
  const Leak leak = GetParam();
  const size_t leaks = leak == Leak::kNone ? 0 : leak == Leak::kTwoAtOnce ? 2 : 1;
  for (const uint64_t rate : {1, 16384, 65536, 262144}) {
    for (uint64_t seed = 1; seed <= (rate == 1 ? 1u : 4u); ++seed) {
      const ServiceRun run = RunService(leak, rate, seed);
      const SuspectLimits limits{run.live_bytes, std::nullopt};
      double worst_innocent = 0;
      for (size_t site = 0; site < kSites; ++site) {
        const Survival survival = AnalyseSurvival(run.histories[site], run.work_bytes);
        const bool leaking = site >= kInnocentSites && site < kInnocentSites + leaks;
        EXPECT_EQ(Judge(survival, limits).has_value(), leaking)
            << "site " << site << " rate " << rate << " seed " << seed;
        if (site < kInnocentSites) worst_innocent = std::max(worst_innocent, survival.score);
      }
      // One sample stands for `rate` bytes: less than two of them are no finding.
      EXPECT_LT(worst_innocent, std::max(0.3e6, 2.0 * static_cast<double>(rate))) << rate << ' ' << seed;
      for (size_t site = kInnocentSites; site < kInnocentSites + leaks; ++site) {
        const double score = AnalyseSurvival(run.histories[site], run.work_bytes).score;
        EXPECT_LT(worst_innocent * 8, score) << rate << ' ' << seed;
        // From half way on, the growth lasted for half of the work.
        const double truth = run.leaked_bytes[site] * (leak == Leak::kFromHalfWay ? 2 : 1);
        EXPECT_NEAR(score / truth, 1, rate == 1 ? 0.04 : 0.35) << rate << ' ' << seed;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Leaks, ServiceTest,
                         testing::Values(Leak::kNone, Leak::kSmallAndSlow, Leak::kFromHalfWay, Leak::kRareAndLarge,
                                         Leak::kTwoAtOnce));

}  // namespace
}  // namespace memtrace::tools
