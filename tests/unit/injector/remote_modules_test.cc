// The process that is looked at is this one: what the loader says is known.
#include "injector/remote_modules.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "injector/process_memory.h"

namespace memtrace::injector {
namespace {

uint64_t AddressOf(const char* name) { return reinterpret_cast<uint64_t>(dlsym(RTLD_DEFAULT, name)); }

TEST(RemoteModulesTest, FindsWhatTheLoaderFinds) {
  const ProcessMemory memory(getpid());
  ASSERT_TRUE(memory.ok());
  const LoadedModules modules = ReadModules(memory);
  EXPECT_TRUE(modules.consistent);
  ASSERT_GE(modules.modules.size(), 3u);
  for (const char* name : {"malloc", "free", "getenv", "pthread_create"}) {
    const auto& all = modules.modules;
    const auto first = std::find_if(all.begin(), all.end(), [name](const auto& m) { return m.Find(name).has_value(); });
    ASSERT_NE(first, all.end()) << name;
    EXPECT_EQ(first->Find(name)->address, AddressOf(name)) << name;
    uint64_t value = 0;
    ASSERT_TRUE(memory.ReadObject(first->Find(name)->value_at, &value));
    EXPECT_EQ(first->bias() + value, AddressOf(name)) << name;
  }
  EXPECT_FALSE(modules.modules[0].Find("no_function_of_this_name").has_value());
}

TEST(RemoteModulesTest, SlotsHoldTheAddressesOfFunctions) {
  const ProcessMemory memory(getpid());
  free(malloc(10));  // bound by now, also where that is done at the first call
  int slots = 0;
  int bound = 0;
  for (const RemoteModule& module : ReadModules(memory).modules) {
    module.ForEachSlot([&](const std::string& symbol, uint64_t slot) {
      if (symbol != "free") return;
      uint64_t value = 0;
      ++slots;
      if (memory.ReadObject(slot, &value) && value == AddressOf("free")) ++bound;
    });
  }
  EXPECT_GT(slots, 0);
  EXPECT_GT(bound, 0);
}

TEST(ProcessMemoryTest, ReadsAllOrNothing) {
  const ProcessMemory memory(getpid());
  const std::string text(1000, 't');
  EXPECT_EQ(memory.ReadString(reinterpret_cast<uint64_t>(text.c_str()), 5000), text);
  EXPECT_EQ(memory.ReadString(reinterpret_cast<uint64_t>(text.c_str()), 10), text.substr(0, 10));
  EXPECT_EQ(memory.ReadString(1, 10), "");
  uint64_t word = 7;
  EXPECT_FALSE(memory.ReadObject(~uint64_t{0} - 4, &word));
  EXPECT_FALSE(ProcessMemory(-1).ok());
  EXPECT_EQ(StatusField(getpid(), "Pid:"), std::to_string(getpid()));
  EXPECT_EQ(StatusField(getpid(), "NoSuchField:"), "");
}

}  // namespace
}  // namespace memtrace::injector
