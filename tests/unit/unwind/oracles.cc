#include "tests/unit/unwind/oracles.h"

#define UNW_LOCAL_ONLY
#include <gtest/gtest.h>
#include <libunwind.h>
#include <unistd.h>

#include <atomic>
#include <boost/stacktrace.hpp>
#include <cstdio>

#include "libmemtrace/format/tables.h"

// Boost.Stacktrace allocates; the handlers that take its stacks interrupt nothing that minds.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "report_signal_unsafe=0"; }

namespace memtrace::unwind {

[[gnu::noinline]] void TakeOurs(OurStack* stack) {
  Registers start;
  start.pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  start.sp = reinterpret_cast<uintptr_t>(__builtin_dwarf_cfa());
  start.fp = *static_cast<uintptr_t*>(__builtin_frame_address(0));
  const Unwound result = Unwind(start, CurrentStackLimits(start.sp, getpid() == gettid()), stack->frames, kMaxFrames);
  stack->count = result.frames;
  stack->truncated = result.truncated;
}

[[gnu::noinline]] void TakeByLibunwind(Addresses* addresses) {
  unw_context_t context;
  unw_cursor_t cursor;
  unw_getcontext(&context);
  unw_init_local(&cursor, &context);
  addresses->count = 0;
  while (addresses->count < kMaxFrames && unw_step(&cursor) > 0) {
    unw_word_t ip = 0;
    unw_get_reg(&cursor, UNW_REG_IP, &ip);
    if (ip == 0) break;
    addresses->values[addresses->count++] = ip;
  }
}

[[gnu::noinline]] void TakeByBoost(Addresses* addresses) {
  const auto here = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  addresses->count = 0;
  for (const auto& frame : boost::stacktrace::stacktrace(0, kMaxFrames)) {
    const auto address = reinterpret_cast<uintptr_t>(frame.address());
    if (addresses->count == 0 && address != here) continue;
    addresses->values[addresses->count++] = address;
  }
}

uintptr_t AddressOf(const OurStack& stack, uint32_t index) {
  const Frame& frame = stack.frames[index];
  // The frame inside an interrupted one is the signal's restorer, which is exact too.
  const bool is_restorer = index + 1 < stack.count && stack.frames[index + 1].flags == format::kNodeInterrupted;
  return frame.flags == format::kNodeInterrupted || is_restorer ? frame.pc : frame.pc + 1;
}

bool SameFrames(const OurStack& ours, const Addresses& theirs) {
  if (ours.count != theirs.count) return false;
  for (uint32_t i = 1; i < ours.count; ++i) {
    if (AddressOf(ours, i) != theirs.values[i]) return false;
  }
  return true;
}

std::string Describe(const OurStack& ours, const Addresses& theirs) {
  std::string text = ours.truncated ? "ours is truncated\n" : "\n";
  for (uint32_t i = 0; i < ours.count || i < theirs.count; ++i) {
    char line[128];
    std::snprintf(line, sizeof(line), "%3u ours %16lx cfa %16lx module %5u flags %u  theirs %16lx\n", i,
                  i < ours.count ? AddressOf(ours, i) : 0, i < ours.count ? ours.frames[i].cfa : 0,
                  i < ours.count ? ours.frames[i].module : 0u, i < ours.count ? ours.frames[i].flags : 0u,
                  i < theirs.count ? theirs.values[i] : 0);
    text += line;
  }
  return text;
}

namespace {
std::atomic<int> g_compared{0};
}  // namespace

int StacksCompared() { return g_compared; }

[[gnu::noinline]] void SetTrapFlag([[maybe_unused]] bool on) {
#if defined(__x86_64__)
  constexpr uint64_t kTrapFlag = 0x100;
  const uint64_t flags = __builtin_ia32_readeflags_u64() & ~kTrapFlag;
  __builtin_ia32_writeeflags_u64(on ? flags | kTrapFlag : flags);
#endif
}

[[gnu::noinline]] void ExpectSameStacks(const char* what) {
  ++g_compared;
  auto* ours = new OurStack;
  auto* theirs = new Addresses;
  TakeOurs(ours);
  TakeByLibunwind(theirs);
  EXPECT_FALSE(ours->truncated) << what << Describe(*ours, *theirs);
  EXPECT_TRUE(SameFrames(*ours, *theirs)) << what << " libunwind" << Describe(*ours, *theirs);
  TakeByBoost(theirs);
  EXPECT_TRUE(SameFrames(*ours, *theirs)) << what << " Boost.Stacktrace" << Describe(*ours, *theirs);
  delete ours;
  delete theirs;
}

}  // namespace memtrace::unwind
