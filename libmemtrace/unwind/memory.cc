#include "libmemtrace/unwind/memory.h"

#include <atomic>

#include "libmemtrace/rt/os.h"
#include "libmemtrace/unwind/arch.h"
#include "libmemtrace/unwind/maps.h"

namespace memtrace::unwind {
namespace {

// The kernel keeps at least 128 MiB below the top of the main stack free for it
// (MIN_GAP in mm/util.c), so half of that is the stack's for sure.
constexpr uintptr_t kMainStackReserve = 64 << 20;
constexpr uintptr_t kLargestThreadStack = uintptr_t{1} << 34;
// How far a thread's stack may reach below what is known before /proc/self/maps is asked.
constexpr uintptr_t kProbedPages = 64;
constexpr uintptr_t kLargestExtension = 1 << 20;

constexpr uintptr_t kUnknownTop = 1;
constinit std::atomic<uintptr_t> g_main_stack_top{0};  // 0: not looked up yet

// From here up to the thread pointer, the calling thread's stack is readable. Odd: the stack does not
// go any further down. Written by this thread and its handlers only; whichever store wins is true.
constinit thread_local uintptr_t t_stack_low = 0;

uintptr_t PageStart(uintptr_t address) { return address & ~(rt::PageBytes() - 1); }

// Where the kernel put argc: all frames of the main thread lie below. Field 28 of /proc/self/stat; the second
// field, a name, may hold spaces and parentheses.
uintptr_t MainStackTop() {
  uintptr_t top = g_main_stack_top.load(std::memory_order_relaxed);
  if (top != 0) return top;
  constexpr int kFieldsBeforeStartStack = 25;  // after the name
  char buffer[1024];
  rt::Text rest = rt::ReadFile("/proc/self/stat", buffer, sizeof(buffer));
  const size_t name_end = rt::FindLast(rest, ')');
  rest = name_end == rt::kNotFound ? rt::Text() : rest.From(name_end + 1);
  for (int i = 0; i < kFieldsBeforeStartStack; ++i) rt::NextWord(&rest);
  uint64_t value = 0;
  top = rt::ParseUint(rt::NextWord(&rest), &value) && value != 0 ? value : kUnknownTop;
  g_main_stack_top.store(top, std::memory_order_relaxed);
  return top;
}

bool OnMainStack(uintptr_t sp) {
  const uintptr_t top = MainStackTop();
  return sp < top && top - sp < kMainStackReserve;
}

[[gnu::noinline]] bool LearnThreadStack(uintptr_t sp, uintptr_t thread_pointer) {
  const uintptr_t page = rt::PageBytes();
  const uintptr_t known = t_stack_low != 0 ? t_stack_low : PageStart(thread_pointer);
  if (known - sp > kProbedPages * page) {
    const MemoryRange run = WritableRunAround(thread_pointer - 1);
    if (run.end != 0) t_stack_low = run.begin | 1;
    return run.end != 0 && sp >= run.begin;
  }
  for (uintptr_t at = PageStart(sp) + page; at < known; at += page) {
    if (!rt::IsReadable(at)) return false;
  }
  t_stack_low = PageStart(sp);
  return true;
}

bool OnThreadStack(uintptr_t sp, uintptr_t thread_pointer) {
  if (sp >= thread_pointer || thread_pointer - sp > kLargestThreadStack) return false;
  const uintptr_t low = t_stack_low;
  if (low != 0 && sp >= low) return true;
  return (low & 1) == 0 && LearnThreadStack(sp, thread_pointer);
}

}  // namespace

// The thread pointer of the main thread does not lie on a stack.
StackLimits CurrentStackLimits(uintptr_t sp, bool is_main_thread) {
  const uintptr_t thread_pointer = arch::ThreadPointer();
  if (!is_main_thread && OnThreadStack(sp, thread_pointer)) return {sp, thread_pointer};
  if (OnMainStack(sp)) return {sp, MainStackTop()};
  return {sp, PageStart(sp) + rt::PageBytes()};
}

bool IsStackBase(uintptr_t sp) {
  constexpr uintptr_t kMainBytes = 512;
  constexpr uintptr_t kThreadBytes = 4096;  // static TLS may lie in between
  return MainStackTop() - sp < kMainBytes || arch::ThreadPointer() - sp < kThreadBytes;
}

bool StackMemory::Extend(uintptr_t address) {
  constexpr uintptr_t kWord = sizeof(uintptr_t);
  if (address > UINTPTR_MAX - kLargestExtension) return false;
  const bool adjacent = address >= limits_.low && address < limits_.high + kLargestExtension;
  if (!adjacent) {
    if (!rt::IsReadable(address)) return false;
    limits_ = CurrentStackLimits(address, true);
    limits_.low = PageStart(address);
  }
  while (limits_.high - address < kWord || limits_.high < address) {
    if (!rt::IsReadable(limits_.high)) return false;
    limits_.high = PageStart(limits_.high) + rt::PageBytes();
  }
  return true;
}

bool StackMemory::ReadProbed(uintptr_t address, uintptr_t* value) {
  constexpr uintptr_t kWord = sizeof(uintptr_t);
  if (address % kWord != 0 || !rt::IsReadable(address)) return false;
  *value = LoadUnaligned<uintptr_t>(address);
  return true;
}

}  // namespace memtrace::unwind
