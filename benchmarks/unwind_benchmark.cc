// Stacks of 12 to 112 frames without frame pointers, by us and by libunwind's cached unw_backtrace.
//   unwind_benchmark --benchmark_filter=Warm
#include <benchmark/benchmark.h>

#include <cstdint>

#include "libmemtrace/unwind/rules.h"
#include "libmemtrace/unwind/unwind.h"

extern "C" int unw_backtrace(void** buffer, int size);

namespace memtrace::unwind {
namespace {

constexpr int kMaxFrames = 512;

[[gnu::noinline]] int TakeOurs() {
  static Frame frames[kMaxFrames];
  const Registers start{reinterpret_cast<uintptr_t>(__builtin_return_address(0)),
                        reinterpret_cast<uintptr_t>(__builtin_dwarf_cfa()),
                        *static_cast<uintptr_t*>(__builtin_frame_address(0))};
  return static_cast<int>(Unwind(start, CurrentStackLimits(start.sp, true), frames, kMaxFrames).frames);
}

[[gnu::noinline]] int TakeOursWithoutRules() {
  RuleCache::EraseModules([](uint16_t) { return true; });
  return TakeOurs();
}

[[gnu::noinline]] int TakeByLibunwind() {
  static void* frames[kMaxFrames];
  return unw_backtrace(frames, kMaxFrames);
}

[[gnu::noinline]] int Measure(benchmark::State& state, int (*take)()) {
  int frames = 0;
  for (auto _ : state) benchmark::DoNotOptimize(frames = take());
  state.SetItemsProcessed(state.iterations() * frames);
  state.counters["frames"] = frames;
  return frames;
}

// Frames of several sizes, some with the frame pointer saved.
template <int kWords>
[[gnu::noinline]] int Descend(benchmark::State& state, int (*take)(), int64_t depth) {
  volatile int64_t space[kWords];
  space[0] = depth;
  if (depth == 0) return Measure(state, take);
  return Descend<kWords % 7 * 4 + 1>(state, take, depth - 1) + static_cast<int>(space[0]);
}

void Warm(benchmark::State& state) { Descend<1>(state, TakeOurs, state.range(0)); }
void Cold(benchmark::State& state) { Descend<1>(state, TakeOursWithoutRules, state.range(0)); }
void Libunwind(benchmark::State& state) { Descend<1>(state, TakeByLibunwind, state.range(0)); }

BENCHMARK(Warm)->Arg(0)->Arg(20)->Arg(100);
BENCHMARK(Cold)->Arg(20);
BENCHMARK(Libunwind)->Arg(0)->Arg(20)->Arg(100);

}  // namespace
}  // namespace memtrace::unwind
