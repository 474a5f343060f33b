// How much stack the code that goes into programs takes: measured on a painted stack, with the
// objects of the preload library itself.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "libmemtrace/unwind/modules.h"
#include "libmemtrace/unwind/rules.h"
#include "libmemtrace/unwind/unwind.h"

extern "C" void MemtraceFullFrame(void (*body)());

namespace memtrace::unwind {
namespace {

constexpr size_t kStackBytes = 64 * 1024;
constexpr unsigned char kPaint = 0xa5;
alignas(16) unsigned char g_stack[kStackBytes];
ucontext_t g_back;
ucontext_t g_there;
Frame g_frames[64];
Unwound g_result;
uintptr_t g_entry_sp;

void Entry() {
  g_entry_sp = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const Registers start{reinterpret_cast<uintptr_t>(__builtin_return_address(0)),
                        reinterpret_cast<uintptr_t>(__builtin_dwarf_cfa()), *reinterpret_cast<uintptr_t*>(g_entry_sp)};
  g_result = Unwind(start, CurrentStackLimits(start.sp, true), g_frames, 64);
}

void EntryInFullFrame() { MemtraceFullFrame(Entry); }

// Bytes of stack below Entry that were written to.
size_t BytesUsed(void (*entry)()) {
  std::memset(g_stack, kPaint, sizeof(g_stack));
  getcontext(&g_there);
  g_there.uc_stack.ss_sp = g_stack;
  g_there.uc_stack.ss_size = sizeof(g_stack);
  g_there.uc_link = &g_back;
  makecontext(&g_there, entry, 0);
  swapcontext(&g_back, &g_there);
  size_t untouched = 0;
  while (untouched < sizeof(g_stack) && g_stack[untouched] == kPaint) ++untouched;
  return g_entry_sp - reinterpret_cast<uintptr_t>(g_stack) - untouched;
}

TEST(UnwindStackUse, StaysBelowThreeKilobytes) {
  const size_t first = BytesUsed(Entry);
  RuleCache::EraseModules([](uint16_t) { return true; });
  const size_t new_rules = BytesUsed(Entry);
  const size_t warm = BytesUsed(Entry);
  RecordProperty("first", static_cast<int>(first));
  RecordProperty("new_rules", static_cast<int>(new_rules));
  RecordProperty("warm", static_cast<int>(warm));
  EXPECT_GT(warm, 64u) << "nothing was measured";
  EXPECT_LE(first, 3072u) << "with unknown modules";
  EXPECT_LE(new_rules, 3072u);
  EXPECT_LE(warm, 1024u);
  EXPECT_FALSE(g_result.truncated);
}

TEST(UnwindStackUse, StaysBelowThreeKilobytesWithAllRegisters) {
  const size_t used = BytesUsed(EntryInFullFrame);
  RecordProperty("full", static_cast<int>(used));
  EXPECT_FALSE(g_result.truncated);
  EXPECT_GE(g_result.frames, 2u);
  EXPECT_LE(used, 3072u);
}

}  // namespace
}  // namespace memtrace::unwind
