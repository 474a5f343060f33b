#include "libmemtrace/core/budget_law.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace memtrace::core {
namespace {

constexpr uint32_t kOnePerCent = 10'000;

// A program that allocates blocks of one size at some pace, recorded at the interval that the law asks for.
struct Program {
  double allocations_per_s;
  double block_bytes;
  double ns_per_sample;
  double busy = 1;  // CPU time by the wall clock's

  BudgetLaw law = {};
  double rate = 1;
  double wall_ns = 0;
  double cpu_ns = 0;
  double slow_ns = 0;
  double stays = 0;
  int changes = 0;

  Program(double pace, double bytes, double cost) : allocations_per_s(pace), block_bytes(bytes), ns_per_sample(cost) {
    law.Start(kOnePerCent, {});
  }
  double SamplesPerSecond() const { return allocations_per_s * -std::expm1(-block_bytes / rate); }
  void Run(double seconds) {
    constexpr double kStepS = 1e-4;
    for (int i = 0; i < static_cast<int>(seconds / kStepS); ++i) {
      const double samples = (rate == 1 ? allocations_per_s : SamplesPerSecond()) * kStepS;
      stays += samples;
      slow_ns += samples * ns_per_sample;
      wall_ns += kStepS * 1e9;
      cpu_ns += kStepS * 1e9 * busy;
      const BudgetLaw::Advice advice = law.Look({static_cast<uint64_t>(cpu_ns), static_cast<uint64_t>(wall_ns),
                                                 static_cast<uint64_t>(slow_ns), static_cast<uint64_t>(stays)});
      const double before = rate;
      if (advice.coarser_by > 1) {
        const double from = rate == 1 ? block_bytes : rate;
        rate = static_cast<double>(std::bit_ceil(static_cast<uint64_t>(from) * advice.coarser_by));
      }
      if (advice.finer_by > 1) {
        rate = rate / static_cast<double>(std::bit_floor(advice.finer_by));
        if (rate < 64) rate = 1;
      }
      if (rate == before) continue;
      law.Changed();
      ++changes;
    }
  }
  double Share() const { return slow_ns / cpu_ns; }
};

TEST(BudgetLawTest, WhatFitsStaysExact) {
  Program program(60'000, 200, 150);  // 0.9 %
  program.Run(60);
  EXPECT_EQ(program.changes, 0);
}

TEST(BudgetLawTest, HotProgramsSettleBelowTheBudget) {
  for (const double pace : {2e5, 1e6, 1e7}) {
    for (const double bytes : {16.0, 200.0, 5000.0}) {
      for (const double cost : {100.0, 2000.0, 20'000.0}) {
        SCOPED_TRACE(testing::Message() << pace << " of " << bytes << " bytes at " << cost << " ns");
        if (pace * cost > 1e9) continue;  // more than there is
        Program program(pace, bytes, cost);
        program.Run(2);
        EXPECT_LT(program.slow_ns, 0.01 * program.cpu_ns + 5e6);
        const double start_ns = program.slow_ns;
        program.Run(8);
        EXPECT_LT(program.Share(), 0.0105);
        EXPECT_LT(program.slow_ns - start_ns, 0.01 * 8e9);
        const int changes = program.changes;
        program.Run(20);
        EXPECT_EQ(program.changes, changes);  // no oscillation
        const double now = program.SamplesPerSecond() * program.ns_per_sample / 1e9;
        EXPECT_GT(now, 0.01 / 9);  // and no coarser than it must be
      }
    }
  }
}

TEST(BudgetLawTest, ExactAgainWhenTheLoadIsGone) {
  Program program(5e6, 100, 300);
  program.Run(3);
  EXPECT_GT(program.rate, 1000);
  program.allocations_per_s = 10'000;
  program.Run(2);
  EXPECT_EQ(program.rate, 1);
}

TEST(BudgetLawTest, AnHourOfQuietDoesNotPayForABurst) {
  Program program(100, 100, 200);
  program.Run(30);
  const double before_ns = program.slow_ns;
  program.allocations_per_s = 1e7;
  program.Run(0.2);
  EXPECT_LT(program.slow_ns - before_ns, BudgetLaw::kMostCreditNs + 3e6);
}

// A tenth of a CPU counts as used: one per cent of it is a millisecond a second.
TEST(BudgetLawTest, AProgramThatSleepsStaysExactWithinATenthOfACpu) {
  Program program(500, 1000, 1800);  // 0.9 ms a second, of 5 ms of CPU time
  program.busy = 0.005;
  program.Run(60);
  EXPECT_EQ(program.changes, 0);
}

TEST(BudgetLawTest, AProgramThatSleepsMayNotTakeMoreThanThat) {
  Program program(20'000, 1000, 1800);
  program.busy = 0.05;
  program.Run(60);
  EXPECT_GT(program.rate, 1000);
  EXPECT_LT(program.slow_ns, 0.001 * program.wall_ns + 5e6);
  EXPECT_GT(program.SamplesPerSecond() * program.ns_per_sample / 1e9, 0.001 / 9);
}

// Many threads: their CPU time passes faster than the wall clock.
TEST(BudgetLawTest, OfABusyProgramOnlyTheCpuTimeCounts) {
  Program one(1e6, 200, 200);
  Program many(4e6, 200, 200);
  many.busy = 4;
  one.Run(10);
  many.Run(10);
  EXPECT_LT(one.Share(), 0.0105);
  EXPECT_LT(many.Share(), 0.0105);
  EXPECT_EQ(one.rate, many.rate);
}

TEST(BudgetLawTest, AlternatingLoadsKeepTheBudget) {
  Program program(0, 100, 300);
  for (int i = 0; i < 20; ++i) {
    program.allocations_per_s = i % 2 == 0 ? 1000 : 3e6;
    program.Run(1);
  }
  EXPECT_LT(program.Share(), 0.013);
}

}  // namespace
}  // namespace memtrace::core
