// The beginning and the end of the library in a process, and of modules that come and go.

#include "libmemtrace/core/module_records.h"
#include "libmemtrace/core/process.h"
#include "libmemtrace/interpose/control.h"
#include "libmemtrace/interpose/real.h"
#include "libmemtrace/interpose/signals.h"
#include "libmemtrace/rt/os.h"
#include "libmemtrace/rt/syscall.h"
#include "libmemtrace/unwind/libunwind_backend.h"

extern "C" char** environ __attribute__((weak));

namespace memtrace::interpose {

uint32_t FlagsOfModulesBefore();

RealFunctions g_real;

namespace {

enum class Phase : uint32_t { kBefore = 0, kBeginning = 1, kDone = 2 };
std::atomic<Phase> g_phase{Phase::kBefore};

// What the kernel put on the stack, for the time before libc has set `environ`: argc, the arguments, a zero, the
// environment. glibc's loader knows where (public since 2.2).
const char* const* EnvironmentOnStack() {
  const auto* stack_end = reinterpret_cast<const uintptr_t* const*>(FindNext("__libc_stack_end"));
  if (stack_end == nullptr || *stack_end == nullptr) return nullptr;
  const uintptr_t* arguments = *stack_end + 1;
  const uintptr_t count = **stack_end;
  constexpr uintptr_t kMostArguments = 1 << 23;  // the kernel's limit of 6 MiB, and some
  if (count > kMostArguments || arguments[count] != 0) return nullptr;
  return reinterpret_cast<const char* const*>(arguments + count + 1);
}

const char* const* Environment() { return &environ != nullptr && environ != nullptr ? environ : EnvironmentOnStack(); }

template <typename Function>
void Find(Function* function, const char* name) {
  *function = reinterpret_cast<Function>(FindNext(name));
}

void FindRealFunctions() {
  RealFunctions real{};
  Find(&real.free, "free");
  Find(&real.calloc, "calloc");
  Find(&real.realloc, "realloc");
  Find(&real.reallocarray, "reallocarray");
  Find(&real.memalign, "memalign");
  Find(&real.posix_memalign, "posix_memalign");
  Find(&real.aligned_alloc, "aligned_alloc");
  Find(&real.valloc, "valloc");
  Find(&real.pvalloc, "pvalloc");
  Find(&real.free_sized, "free_sized");
  Find(&real.free_aligned_sized, "free_aligned_sized");
  Find(&real.malloc_usable_size, "malloc_usable_size");
  Find(&real.malloc, "malloc");
  g_real = real;
}

format::Libc WhichLibc() {
  if (FindNext("gnu_get_libc_version") != 0) return format::Libc::kGlibc;
  return FindNext("__libc_start_main") != 0 ? format::Libc::kMusl : format::Libc::kUnknown;
}

// The second backend of the unwinder: only what the program has loaded itself.
void ChooseUnwinder(const config::Options& options) {
  if (options.unwinder != config::Unwinder::kLibunwind) return;
  const auto backtrace = reinterpret_cast<unwind::UnwBacktrace>(FindNext("unw_backtrace"));
  if (backtrace != nullptr && unwind::UseLibunwind(backtrace)) return;
  if (!options.quiet)
    rt::Complain("MEMTRACE_UNWINDER=libunwind: the program has not loaded libunwind; own unwinder used");
}

}  // namespace

core::Surroundings SurroundingsNow() { return {g_real.free, WhichLibc(), FlagsOfModulesBefore()}; }

bool Begin() {
  Phase before = Phase::kBefore;
  if (g_phase.load(std::memory_order_acquire) == Phase::kDone) return g_real.malloc != nullptr;
  if (!g_phase.compare_exchange_strong(before, Phase::kBeginning, std::memory_order_acquire)) return false;
  FindRealFunctions();
  if (g_real.malloc == nullptr) {
    rt::Complain("no malloc found behind libmemtrace.so; the program runs unrecorded");
  } else if (!IsLoadedLate()) {
    core::t_state.in_memtrace = 1;
    if (core::Start(Environment(), SurroundingsNow())) {
      TakeOverSignal(core::g_process.options.signal);
      ChooseUnwinder(core::g_process.options);
    }
    core::t_state.in_memtrace = 0;
  }
  DescribeControl(IsLoadedLate());
  g_phase.store(Phase::kDone, std::memory_order_release);
  return g_real.malloc != nullptr;
}

namespace {

__attribute__((constructor)) void OnLoad() { Begin(); }
__attribute__((destructor)) void OnExit() { core::Finish(); }

}  // namespace

// Exits that run no destructors.
MEMTRACE_EXPORT __attribute__((noreturn)) void _exit(int status) {
  core::Finish();
  for (;;) rt::Syscall(__NR_exit_group, status);
}

MEMTRACE_EXPORT __attribute__((noreturn)) void _Exit(int status) {
  core::Finish();
  for (;;) rt::Syscall(__NR_exit_group, status);
}

MEMTRACE_EXPORT __attribute__((noreturn)) void quick_exit(int status) {
  core::Finish();
  static void (*real)(int) = nullptr;
  if (Resolve(&real, "quick_exit") != nullptr) real(status);
  for (;;) rt::Syscall(__NR_exit_group, status);
}

MEMTRACE_EXPORT int dlclose(void* handle) {
  static int (*real)(void*) = nullptr;
  if (Resolve(&real, "dlclose") == nullptr) return -1;
  const int result = real(handle);
  core::NoteUnloading();
  return result;
}

}  // namespace memtrace::interpose
