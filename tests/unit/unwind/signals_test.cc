// Stacks of interrupted code: a signal may arrive at any instruction, and the frame it interrupts is
// described by rules that hold nowhere else: prologues, epilogues, PLT stubs, the dynamic linker.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/modules.h"
#include "tests/unit/unwind/oracles.h"

extern "C" int MemtraceLazyEntry(int value);

namespace memtrace::unwind {
namespace {

OurStack g_ours;
Addresses g_theirs;
struct Comparison {
  int instructions = 0;
  int different = 0;
  int truncated = 0;
  std::string first;
};
Comparison g_comparison;

void OnStep(int, siginfo_t*, void*) {
  TakeOurs(&g_ours);
  TakeByLibunwind(&g_theirs);
  ++g_comparison.instructions;
  g_comparison.truncated += g_ours.truncated ? 1 : 0;
  if (SameFrames(g_ours, g_theirs)) return;
  ++g_comparison.different;
  if (g_comparison.different <= 3) g_comparison.first += Describe(g_ours, g_theirs);
}

// Runs `function` and compares the stacks at each of its instructions.
template <typename Function>
Comparison StepThrough(Function function, int flags = 0) {
  struct sigaction action {};
  struct sigaction old {};
  action.sa_sigaction = OnStep;
  action.sa_flags = SA_SIGINFO | flags;
  sigaction(SIGTRAP, &action, &old);
  g_comparison = Comparison();
  SetTrapFlag(true);
  function();
  SetTrapFlag(false);
  sigaction(SIGTRAP, &old, nullptr);
  return g_comparison;
}

[[gnu::noinline]] int Realigned(int value) {
  alignas(64) volatile int values[16] = {value};
  auto* block = static_cast<volatile char*>(__builtin_alloca(static_cast<size_t>(value) + 16));
  block[3] = 1;
  return values[0] + block[3];
}

[[gnu::noinline]] int Fibonacci(int n) { return n < 2 ? n : Fibonacci(n - 1) + Fibonacci(n - 2); }

TEST(UnwindSignals, EveryInstructionOfLazyBinding) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "single-steps by the trap flag";
#endif
  const Comparison result = StepThrough([] { MemtraceLazyEntry(-7); });
  EXPECT_GT(result.instructions, 500);
  EXPECT_EQ(result.different, 0) << result.first << " of " << result.instructions;
  EXPECT_EQ(result.truncated, 0);
}

TEST(UnwindSignals, EveryInstructionOfPrologues) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "single-steps by the trap flag";
#endif
  const Comparison result = StepThrough([] {
    Realigned(40);
    Fibonacci(4);
    int values[] = {3, 1, 2};
    std::qsort(values, 3, sizeof(int),
               [](const void* a, const void* b) { return *static_cast<const int*>(a) - *static_cast<const int*>(b); });
  });
  EXPECT_GT(result.instructions, 200);
  EXPECT_EQ(result.different, 0) << result.first << " of " << result.instructions;
  EXPECT_EQ(result.truncated, 0);
}

TEST(UnwindSignals, EveryInstructionOfLibc) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "single-steps by the trap flag";
#endif
  const Comparison result = StepThrough([] {
    char text[64];
    std::snprintf(text, sizeof(text), "%.3f %s", 3.25, "text");
    std::free(std::calloc(3, 1000));
  });
  EXPECT_GT(result.instructions, 1000);
  EXPECT_EQ(result.different, 0) << result.first << " of " << result.instructions;
  EXPECT_EQ(result.truncated, 0);
}

}  // namespace
}  // namespace memtrace::unwind
