// What an allocation and its free go through, piece by piece and whole, in a process that really records.
//   hot_path_benchmark --benchmark_filter=Recorded
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "libmemtrace/core/events.h"
#include "libmemtrace/core/process.h"
#include "libmemtrace/core/sampler.h"
#include "libmemtrace/rt/random.h"
#include "libmemtrace/unwind/remembering.h"

namespace memtrace::core {
namespace {

// Begins to record this process exactly, into a directory that is removed at the end.
bool Record() {
  static char directory[] = "/tmp/memtrace-benchmark-XXXXXX";
  if (mkdtemp(directory) == nullptr) return false;
  const std::string variable = std::string("MEMTRACE_DIR=") + directory;
  const char* environment[] = {variable.c_str(), "MEMTRACE_SAMPLE=1", "MEMTRACE_QUIET=1", nullptr};
  const bool started = Start(environment, {[](void*) {}, format::Libc::kGlibc, 0});
  g_process.recording.Remove();
  rmdir(directory);
  return started;
}

// What the interposer does. Blocks are mere addresses.
[[gnu::noinline]] void Malloc(uintptr_t address, size_t size) {
  t_state.countdown -= static_cast<int64_t>(size);
  if (t_state.countdown > 0) return;
  const auto* frame = static_cast<const uintptr_t*>(__builtin_frame_address(0));
  Allocated(reinterpret_cast<void*>(address), size,
            {frame[1], reinterpret_cast<uintptr_t>(__builtin_dwarf_cfa()), frame[0]});
}
void Free(uintptr_t address) {
  void* block = reinterpret_cast<void*>(address);
  if (g_filter.MayHold(block)) Freed(block);
}

// Runs `body` that many calls deeper.
template <typename Body>
[[gnu::noinline]] void At(int64_t depth, Body body) {
  if (depth == 0) {
    body();
  } else {
    At(depth - 1, body);
  }
  asm volatile("" ::: "memory");
}

// Free and allocate a random block out of a window; by each thread in a window of its own.
void BM_RecordedPair(benchmark::State& state) {
  static const bool recorded = Record();
  if (!recorded) return state.SkipWithError("no recording could be made in /tmp");
  const auto window = static_cast<uint64_t>(state.range(0));
  const uintptr_t begin = 0x100000000000 + (static_cast<uintptr_t>(state.thread_index()) << 36);
  std::vector<uintptr_t> blocks(window);
  uintptr_t next = begin;
  uint64_t random = 1;
  At(state.range(1), [&] {
    for (uintptr_t& block : blocks) Malloc(block = next += 64, 48);
    for (auto _ : state) {
      uintptr_t& block = blocks[rt::NextRandom(&random) % window];
      Free(block);
      Malloc(block = next += 64, 48);
    }
    for (const uintptr_t block : blocks) Free(block);
  });
}
BENCHMARK(BM_RecordedPair)->Args({1, 0})->Args({10'000, 0})->Args({10'000, 16})->Args({1'000'000, 16});
BENCHMARK(BM_RecordedPair)->Args({10'000, 16})->Threads(8)->UseRealTime();

// Whether the stack is that of last time.
void BM_UnmovedStack(benchmark::State& state) {
  std::vector<uint64_t> memory(unwind::RememberedStackBytes(256) / sizeof(uint64_t) + 1);
  auto* stack = reinterpret_cast<unwind::RememberedStack*>(memory.data());
  stack->capacity = 256;
  At(state.range(0), [&] {
    const auto* frame = static_cast<const uintptr_t*>(__builtin_frame_address(0));
    const unwind::Registers start{frame[1], reinterpret_cast<uintptr_t>(frame + 2), frame[0]};
    const unwind::StackLimits limits = unwind::CurrentStackLimits(start.sp, true);
    uint32_t kept = 0;
    bool remembered = false;
    // A frame whose rule is not cached yet cannot be met again.
    for (int i = 0; i < 2; ++i) remembered = unwind::UnwindRemembering(start, limits, stack, &kept);
    if (!remembered || stack->verifiable != stack->count) {
      return state.SkipWithError("the stack cannot be remembered");
    }
    for (auto _ : state) benchmark::DoNotOptimize(unwind::IsUnmoved(start, limits, stack));
    state.counters["frames"] = stack->count;
  });
}
BENCHMARK(BM_UnmovedStack)->Arg(0)->Arg(16)->Arg(100);

// free() of a block that is not recorded asks no more than this.
void BM_Filter(benchmark::State& state) {
  const auto filter = std::make_unique<Filter>();
  uintptr_t address = 0x555555560000;
  for (auto _ : state) benchmark::DoNotOptimize(filter->MayHold(reinterpret_cast<void*>(address += 64)));
}
BENCHMARK(BM_Filter);

// The decision over an allocation that may be a sample, and the next gap.
void BM_Sampler(benchmark::State& state) {
  const auto header = std::make_unique<format::Header>();
  header->rates[0].bytes = 512 * 1024;
  ThreadState thread{};
  uint64_t random = 1;
  DrawGap(&thread, &random, *header, 0);
  for (auto _ : state) {
    uint32_t rate = 0;
    thread.countdown = 0;
    thread.gap_rest = 0;
    benchmark::DoNotOptimize(TakeSample(&thread, &random, *header, 64, 0, &rate));
  }
}
BENCHMARK(BM_Sampler);

}  // namespace
}  // namespace memtrace::core
