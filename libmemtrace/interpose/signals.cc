#include "libmemtrace/interpose/signals.h"

#include <asm/errno.h>
#include <ucontext.h>

#include "libmemtrace/core/snapshot.h"
#include "libmemtrace/interpose/real.h"
#include "libmemtrace/rt/syscall.h"

extern "C" int* __errno_location() __attribute__((weak));

namespace memtrace::interpose {
namespace {

using rt::Address;
using rt::Syscall;
using Handler = void (*)(int);

// struct sigaction of the kernel.
struct KernelAction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};
constexpr unsigned long kRestorer = 0x04000000;

// What the program believes to be installed for our signal.
struct ProgramAction {
  std::atomic<Handler> handler{SIG_DFL};
  std::atomic<unsigned long> flags{0};
  std::atomic<uint64_t> mask{0};
};
ProgramAction g_program;
rt::Lock g_program_lock;
int g_signal = 0;

#if defined(__x86_64__)
// The very bytes by which debuggers and unwinders recognise a signal frame.
extern "C" void memtrace_restore_rt() __attribute__((visibility("hidden")));
asm(R"(
.text
.p2align 4
nop
.type memtrace_restore_rt, @function
memtrace_restore_rt:
  mov $15, %rax
  syscall
.size memtrace_restore_rt, . - memtrace_restore_rt
)");
#endif

void Install(int signal, KernelAction action) {
#if defined(__x86_64__)
  action.flags |= kRestorer;
  action.restorer = &memtrace_restore_rt;
#endif
  Syscall(__NR_rt_sigaction, signal, Address(&action), 0, sizeof(action.mask));
}

// The default of our signal is the end of the program: restores it and sends the signal once more.
void DieOf(int signal) {
  Install(signal, {});
  Syscall(__NR_tgkill, rt::ProcessId(), rt::ThreadId(), signal);
}

bool IsThreadDirected(const siginfo_t* info) {
  return info != nullptr && info->si_code == SI_TKILL && info->si_pid == rt::ProcessId();
}

void OnSignal(int signal, siginfo_t* info, void* context) {
  const bool private_to_program = IsThreadDirected(info);
  if (!private_to_program) core::SnapshotFromSignal();
  const unsigned long flags = g_program.flags.load(std::memory_order_relaxed);
  const Handler handler = (flags & SA_RESETHAND) != 0 ? g_program.handler.exchange(SIG_DFL, std::memory_order_acquire)
                                                      : g_program.handler.load(std::memory_order_acquire);
  if (handler == SIG_IGN) return;
  if (handler == SIG_DFL) {
    if (private_to_program) DieOf(signal);
    return;
  }
  if ((flags & SA_SIGINFO) != 0) {
    reinterpret_cast<void (*)(int, siginfo_t*, void*)>(reinterpret_cast<void*>(handler))(signal, info, context);
  } else {
    handler(signal);
  }
}

// Our handler, called by the kernel as the program wants its own to be called.
void InstallOurs() {
  const Handler handler = g_program.handler.load(std::memory_order_relaxed);
  const bool callable = handler != SIG_DFL && handler != SIG_IGN;
  const unsigned long flags = callable ? g_program.flags.load(std::memory_order_relaxed) : SA_RESTART | SA_ONSTACK;
  KernelAction action{};
  action.handler = &OnSignal;
  action.flags = (flags & ~static_cast<unsigned long>(SA_RESETHAND)) | SA_SIGINFO;
  action.mask = callable ? g_program.mask.load(std::memory_order_relaxed) : 0;
  Install(g_signal, action);
}

uint64_t LowMask(const sigset_t& mask) { return *reinterpret_cast<const uint64_t*>(&mask); }

// sigaction() for our signal: changes what the program believes, and how the kernel calls ours.
int ProgramSigaction(const struct sigaction* action, struct sigaction* old) {
  const rt::LockHolder holder(&g_program_lock);
  if (old != nullptr) {
    __builtin_memset(old, 0, sizeof(*old));
    old->sa_handler = g_program.handler.load(std::memory_order_relaxed);
    old->sa_flags = static_cast<int>(g_program.flags.load(std::memory_order_relaxed));
    *reinterpret_cast<uint64_t*>(&old->sa_mask) = g_program.mask.load(std::memory_order_relaxed);
  }
  if (action == nullptr) return 0;
  g_program.flags.store(static_cast<unsigned long>(action->sa_flags) & ~kRestorer, std::memory_order_relaxed);
  g_program.mask.store(LowMask(action->sa_mask), std::memory_order_relaxed);
  g_program.handler.store(action->sa_handler, std::memory_order_release);
  InstallOurs();
  return 0;
}

// signal() in its BSD (restart, stay installed) and System V (reset, interrupt) forms.
Handler ProgramSignal(Handler handler, int flags) {
  struct sigaction action {};
  struct sigaction old {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  if (flags == SA_RESTART) *reinterpret_cast<uint64_t*>(&action.sa_mask) = uint64_t{1} << (g_signal - 1);
  ProgramSigaction(&action, &old);
  return old.sa_handler;
}

constexpr int kBsdFlags = SA_RESTART;
constexpr int kSystemVFlags = static_cast<int>(SA_RESETHAND | SA_NODEFER);

bool IsOurs(int signal) {
  Begin();
  return signal != 0 && signal == g_signal;
}

template <typename Function>
Handler CallRealSignal(Function* slot, const char* name, int signal, Handler handler) {
  if (Resolve(slot, name) != nullptr) return (*slot)(signal, handler);
  if (&__errno_location != nullptr) *__errno_location() = ENOSYS;
  return SIG_ERR;
}

}  // namespace

void TakeOverSignal(int signal) {
  if (signal == 0) return;
  KernelAction before{};
  Syscall(__NR_rt_sigaction, signal, 0, Address(&before), sizeof(before.mask));
  g_program.handler.store(reinterpret_cast<Handler>(reinterpret_cast<void*>(before.handler)),
                          std::memory_order_relaxed);
  g_program.flags.store(before.flags & ~kRestorer, std::memory_order_relaxed);
  g_program.mask.store(before.mask, std::memory_order_relaxed);
  g_signal = signal;
  InstallOurs();
}

void GiveBackSignal() {
  const rt::LockHolder holder(&g_program_lock);
  if (g_signal == 0) return;
  KernelAction action{};
  action.handler = reinterpret_cast<decltype(action.handler)>(
      reinterpret_cast<void*>(g_program.handler.load(std::memory_order_relaxed)));
  action.flags = g_program.flags.load(std::memory_order_relaxed);
  action.mask = g_program.mask.load(std::memory_order_relaxed);
  Install(g_signal, action);
  g_signal = 0;
}

MEMTRACE_EXPORT int sigaction(int signal, const struct sigaction* action, struct sigaction* old) noexcept {
  if (IsOurs(signal)) return ProgramSigaction(action, old);
  static int (*real)(int, const struct sigaction*, struct sigaction*) = nullptr;
  if (Resolve(&real, "sigaction") != nullptr) return real(signal, action, old);
  return -1;
}

MEMTRACE_EXPORT int __sigaction(int signal, const struct sigaction* action, struct sigaction* old) {
  return sigaction(signal, action, old);
}

#define MEMTRACE_SIGNAL(function, flags)                                   \
  MEMTRACE_EXPORT Handler function(int number, Handler handler) noexcept { \
    if (IsOurs(number)) return ProgramSignal(handler, flags);              \
    static Handler (*real)(int, Handler) = nullptr;                        \
    return CallRealSignal(&real, #function, number, handler);              \
  }

MEMTRACE_SIGNAL(signal, kBsdFlags)
MEMTRACE_SIGNAL(bsd_signal, kBsdFlags)
MEMTRACE_SIGNAL(ssignal, kBsdFlags)
MEMTRACE_SIGNAL(sysv_signal, kSystemVFlags)
MEMTRACE_SIGNAL(__sysv_signal, kSystemVFlags)

}  // namespace memtrace::interpose
