#include "libmemtrace/unwind/resolve.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/modules.h"

namespace memtrace::unwind {
namespace {

uintptr_t g_caller;
[[gnu::noinline]] void NoteCaller() { g_caller = reinterpret_cast<uintptr_t>(__builtin_return_address(0)) - 1; }

TEST(UnwindResolve, CodeHasTheRuleOfItsModule) {
  NoteCaller();
  const CompactRule rule = Resolve(g_caller);
  EXPECT_TRUE(rule.is_simple() || rule.kind() == StepKind::kFpIndirect);
  EXPECT_EQ(rule.module(), FindModule(g_caller));
  EXPECT_EQ(RuleCache::Find(g_caller + 1).word(), rule.word()) << "remembered";
  EXPECT_EQ(RuleFor(g_caller).word(), rule.word());
}

TEST(UnwindResolve, AReturnAddressBeforeAFunctionIsTheEnd) {
  // As makecontext leaves it: nothing has called from there. Functions are aligned, with bytes of nobody in front.
  const auto begin = reinterpret_cast<uintptr_t>(&kill);
  Row row;
  if (FindRow(ModuleAt(static_cast<uint32_t>(FindModule(begin))).tables, begin - 1, &row)) {
    GTEST_SKIP() << "another function ends right before this one";
  }
  EXPECT_EQ(Resolve(begin - 1).kind(), StepKind::kEnd);
}

TEST(UnwindResolve, WhatIsNoCodeIsNotRemembered) {
  int on_stack = 0;
  const auto pc = reinterpret_cast<uintptr_t>(&on_stack);
  EXPECT_EQ(Resolve(pc).kind(), StepKind::kNone);
  EXPECT_EQ(RuleCache::Find(pc + 1).kind(), StepKind::kNone);
  EXPECT_EQ(Resolve(0).kind(), StepKind::kNone);
  EXPECT_EQ(Resolve(~uintptr_t{0}).kind(), StepKind::kNone);
}

TEST(UnwindResolve, CodeWithoutAFileIsWalkedByTheFramePointer) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const CompactRule rule = Resolve(reinterpret_cast<uintptr_t>(memory) + 16);
  EXPECT_EQ(rule.kind(), StepKind::kFramePointer);
  EXPECT_EQ(rule.module(), format::kNoModule);
  munmap(memory, page);
  ForgetUnloadedModules();
}

uintptr_t g_restorer;

// A handler returns to the restorer; a lambda without optimisation returns to what calls it.
void NoteRestorer(int /*signal*/) { g_restorer = reinterpret_cast<uintptr_t>(__builtin_return_address(0)); }

TEST(UnwindResolve, TheRestorerOfSignalsIsKnownByItsCode) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's own handler returns there, and calls ours";
#endif
  struct sigaction action {};
  struct sigaction old {};
  action.sa_handler = NoteRestorer;
  sigaction(SIGUSR1, &action, &old);
  raise(SIGUSR1);
  sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(Resolve(g_restorer - 1).kind(), StepKind::kSignal) << "as a return address";
  EXPECT_EQ(Resolve(g_restorer).kind(), StepKind::kSignal) << "interrupted there";
  EXPECT_NE(Resolve(g_restorer + 64).kind(), StepKind::kSignal);
}

}  // namespace
}  // namespace memtrace::unwind
