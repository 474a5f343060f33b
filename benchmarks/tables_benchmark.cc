// The tables of a recording, one operation each, on a recording in /dev/shm or /tmp.

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "libmemtrace/core/live_table.h"
#include "libmemtrace/core/site_table.h"
#include "libmemtrace/core/stack_table.h"
#include "libmemtrace/rt/random.h"

namespace memtrace::core {
namespace {

constexpr uint64_t kMaxBytes = 256 << 20;

// A recording that goes away with the benchmark.
class Scratch {
 public:
  Scratch() {
    const char* directory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    if (recording_.Create(directory, kMaxBytes) != 0) {
      std::fprintf(stderr, "no recording could be made in %s\n", directory);
      std::exit(1);
    }
    recording_.Remove();
  }
  Recording* get() { return &recording_; }

 private:
  Recording recording_;
};

// Free and allocate a random block out of a window of state.range(0).
void BM_LiveTableChurn(benchmark::State& state) {
  Scratch scratch;
  LiveTable table;
  table.Open(scratch.get());
  const auto window = static_cast<uint64_t>(state.range(0));
  std::vector<uint64_t> blocks(window);
  uint64_t next = 0x10000000;
  LiveBlock replaced;
  for (uint64_t& block : blocks) {
    block = next += 64;
    table.Insert({block, 48, 1, 0, 0}, &replaced);
    table.GrowFor(window);
  }
  uint64_t random = 1;
  for (auto _ : state) {
    uint64_t& block = blocks[rt::NextRandom(&random) % window];
    LiveBlock taken;
    table.Take(block, &taken);
    block = next += 64;
    table.Insert({block, 48, 1, 0, 0}, &replaced);
  }
}
BENCHMARK(BM_LiveTableChurn)->Arg(1000)->Arg(10'000)->Arg(1'000'000);

// The same by threads that share the table, each with addresses of its own.
void BM_LiveTableShared(benchmark::State& state) {
  static Scratch scratch;
  static LiveTable table;
  static const bool open = table.Open(scratch.get());
  if (!open) return state.SkipWithError("no table");
  constexpr uint64_t kWindow = 10'000;
  std::vector<uint64_t> blocks(kWindow);
  uint64_t next = static_cast<uint64_t>(state.thread_index() + 1) << 36;
  LiveBlock replaced;
  for (uint64_t& block : blocks) {
    table.Insert({block = next += 64, 48, 1, 0, 0}, &replaced);
    table.GrowFor(kWindow * static_cast<uint64_t>(state.threads()));
  }
  uint64_t random = 1;
  for (auto _ : state) {
    uint64_t& block = blocks[rt::NextRandom(&random) % kWindow];
    LiveBlock taken;
    table.Take(block, &taken);
    table.Insert({block = next += 64, 48, 1, 0, 0}, &replaced);
  }
  LiveBlock taken;
  for (const uint64_t block : blocks) table.Take(block, &taken);
}
BENCHMARK(BM_LiveTableShared)->Threads(1)->Threads(8)->UseRealTime();

// Looking up a frame that is known.
void BM_InternKnownFrame(benchmark::State& state) {
  Scratch scratch;
  StackTable table;
  table.Open(scratch.get());
  const auto frames = static_cast<uint64_t>(state.range(0));
  uint64_t random = 1;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.Intern(0, 0x1000 + rt::NextRandom(&random) % frames * 16, 0, 0));
  }
}
BENCHMARK(BM_InternKnownFrame)->Arg(100)->Arg(10'000)->Arg(1'000'000);

// An allocation and its free, counted at a random site.
void BM_CountSite(benchmark::State& state) {
  Scratch scratch;
  SiteTable table;
  table.Open(scratch.get());
  SiteIndex index{};
  const auto sites = static_cast<uint64_t>(state.range(0));
  uint64_t random = 1;
  for (auto _ : state) {
    const auto site = static_cast<uint32_t>(rt::NextRandom(&random) % sites + 1);
    table.CountAllocation(0, &index, site, {48, format::kCountOne}, 1 << 20);
    table.CountFree(0, &index, site, {48, format::kCountOne}, 4096, false);
  }
}
BENCHMARK(BM_CountSite)->Arg(100)->Arg(10'000)->Arg(100'000);

}  // namespace
}  // namespace memtrace::core
