#include "libmemtrace/core/stopped_threads.h"

#include <asm/errno.h>
#include <linux/ptrace.h>
#include <sys/uio.h>

#include "libmemtrace/rt/directory_entries.h"
#include "libmemtrace/rt/lock.h"
#include "libmemtrace/rt/syscall.h"

namespace memtrace::core {
namespace {

using rt::Address;
using rt::Syscall;

// Register sets (linux/elf.h, which does not go with elf.h), and words of the general one.
constexpr long kGeneral = 1;
#if defined(__x86_64__)
constexpr long kVectors = 0x202;  // NT_X86_XSTATE
constexpr int kSpWord = 19;       // struct user_regs_struct
constexpr int kThreadPointerWord = 21;
#else
constexpr long kVectors = 2;             // NT_PRFPREG
constexpr long kThreadRegister = 0x401;  // NT_ARM_TLS
constexpr int kSpWord = 31;              // struct user_pt_regs
#endif

long Trace(long request, int tid, long address = 0, const void* data = nullptr) {
  return Syscall(__NR_ptrace, request, tid, address, Address(data));
}

bool ReadSet(long set, int tid, void* to, size_t bytes) {
  const iovec buffer{to, bytes};
  return !rt::IsError(Trace(PTRACE_GETREGSET, tid, set, &buffer));
}

bool ReadRegisters(StoppedThread* thread) {
  if (!ReadSet(kGeneral, thread->tid, thread->registers, sizeof(thread->registers))) return false;
  thread->sp = thread->registers[kSpWord];
#if defined(__x86_64__)
  thread->thread_pointer = thread->registers[kThreadPointerWord];
#else
  if (!ReadSet(kThreadRegister, thread->tid, &thread->thread_pointer, sizeof(thread->thread_pointer))) return false;
#endif
  ReadSet(kVectors, thread->tid, thread->vectors, sizeof(thread->vectors));
  return true;
}

// A thread that has ended meanwhile is -ESRCH.
int Stop(StoppedThread* thread) {
  const int tid = thread->tid;
  if (rt::IsError(Trace(PTRACE_INTERRUPT, tid))) return -ESRCH;
  int status = 0;
  long waited = 0;
  rt::WaitFor([&] {
    waited = rt::WaitForChild(tid, false, &status);
    return waited != 0;
  });
  if (waited == 0) return -EBUSY;
  const bool stopped = (status & 0xff) == 0x7f;
  if (waited < 0 || !stopped) return -ESRCH;
  const bool by_us = status >> 16 != 0;
  thread->signal = by_us ? 0 : status >> 8 & 0xff;
  return ReadRegisters(thread) ? 0 : -ESRCH;
}

bool IsKnown(const StoppedThread* threads, uint32_t count, int tid) {
  while (count > 0 && threads[count - 1].tid != tid) --count;
  return count > 0;
}

int StopOne(int tid, StoppedThread* threads, uint32_t* count) {
  if (*count == kMostStoppedThreads) return -E2BIG;
  const long seized = Trace(PTRACE_SEIZE, tid);
  if (seized == -ESRCH) return 0;
  if (rt::IsError(seized)) return static_cast<int>(seized);
  StoppedThread* thread = &threads[(*count)++];
  thread->tid = tid;
  const int result = Stop(thread);
  return result == -ESRCH ? 0 : result;
}

}  // namespace

// Threads that run may start others: the list is read again until it has nothing new.
int StopThreads(int tasks, int spared, StoppedThread* threads, uint32_t* count) {
  uint32_t before;
  do {
    before = *count;
    if (rt::IsError(Syscall(__NR_lseek, tasks, 0, 0))) return -EBADF;
    const int result = rt::ForEachEntry(tasks, [&](const char* name) {
      uint64_t tid = 0;
      if (!rt::ParseUint(name, &tid)) return 0;
      if (static_cast<int>(tid) == spared || IsKnown(threads, *count, static_cast<int>(tid))) return 0;
      return StopOne(static_cast<int>(tid), threads, count);
    });
    if (result != 0) return result;
  } while (*count != before);
  return 0;
}

void ResumeThreads(const StoppedThread* threads, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    Syscall(__NR_ptrace, PTRACE_DETACH, threads[i].tid, 0, threads[i].signal);
  }
}

}  // namespace memtrace::core
