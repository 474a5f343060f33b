#include "libmemtrace/core/filter.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace memtrace::core {
namespace {

const void* Pointer(uintptr_t address) { return reinterpret_cast<const void*>(address); }
uintptr_t HeapAddress(uintptr_t i) { return 0x7f0000000010 + i * 48; }

TEST(FilterTest, NeverSaysNoForARecordedBlock) {
  const auto filter = std::make_unique<Filter>();
  for (uintptr_t i = 0; i < 200'000; i += 7) filter->Add(HeapAddress(i));
  for (uintptr_t i = 0; i < 200'000; i += 7) ASSERT_TRUE(filter->MayHold(Pointer(HeapAddress(i))));
}

TEST(FilterTest, HardlyEverSaysYesForOthers) {
  const auto filter = std::make_unique<Filter>();
  for (uintptr_t i = 0; i < 2000; ++i) filter->Add(HeapAddress(i * 101));
  int yes = 0;
  for (uintptr_t i = 0; i < 100'000; ++i) yes += filter->MayHold(Pointer(0x560000000010 + i * 32));
  EXPECT_LE(yes, 100'000 / 20);  // 2,000 of 65,536 slots are taken
  EXPECT_FALSE(std::make_unique<Filter>()->MayHold(Pointer(HeapAddress(1))));
}

TEST(FilterTest, ForgetsWhatWasTakenOut) {
  const auto filter = std::make_unique<Filter>();
  for (int round = 0; round < 1000; ++round) {
    for (uintptr_t i = 0; i < 20; ++i) filter->Add(HeapAddress(i));
    for (uintptr_t i = 0; i < 20; ++i) filter->Remove(HeapAddress(i));
  }
  for (uintptr_t i = 0; i < 20; ++i) EXPECT_FALSE(filter->MayHold(Pointer(HeapAddress(i))));
}

TEST(FilterTest, SaturatedSlotsStick) {
  const auto filter = std::make_unique<Filter>();
  for (int i = 0; i < 300; ++i) filter->Add(HeapAddress(1));
  for (int i = 0; i < 300; ++i) filter->Remove(HeapAddress(1));
  EXPECT_TRUE(filter->MayHold(Pointer(HeapAddress(1))));
  filter->Clear();
  EXPECT_TRUE(filter->MayHold(Pointer(HeapAddress(1))));
}

TEST(FilterTest, PinOutlastsClearAndRemove) {
  const auto filter = std::make_unique<Filter>();
  filter->Pin(HeapAddress(1));
  filter->Add(HeapAddress(2));
  filter->Remove(HeapAddress(1));
  filter->Clear();
  EXPECT_TRUE(filter->MayHold(Pointer(HeapAddress(1))));
  EXPECT_FALSE(filter->MayHold(Pointer(HeapAddress(2))));
}

TEST(FilterTest, SaturateMakesEveryAddressPossible) {
  const auto filter = std::make_unique<Filter>();
  filter->Saturate();
  for (uintptr_t i = 0; i < 10'000; ++i) ASSERT_TRUE(filter->MayHold(Pointer(HeapAddress(i * 977))));
}

TEST(FilterTest, ThreadsLoseNoCount) {
  const auto filter = std::make_unique<Filter>();
  filter->Add(HeapAddress(0));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100'000; ++i) {
        filter->Add(HeapAddress(0));
        filter->Remove(HeapAddress(0));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(filter->MayHold(Pointer(HeapAddress(0))));
  filter->Remove(HeapAddress(0));
  EXPECT_FALSE(filter->MayHold(Pointer(HeapAddress(0))));
}

}  // namespace
}  // namespace memtrace::core
