#include "injector/safe_point.h"

#include <elf.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>

#include "injector/remote_unwind.h"

namespace memtrace::injector {
namespace {

// Where a thread stops. Each function's first definition is what the program calls.
constexpr const char* kAllocation[] = {"malloc",         "free",  "calloc", "realloc",
                                       "posix_memalign", "_Znwm", "_ZdlPv", "_ZdlPvm"};
// A stack with one of these on it may hold a lock that dlopen wants: also that of the list of threads' stacks, in
// which it sets up thread-local storage.
constexpr const char* kLocking[] = {"malloc",       "free",      "calloc",      "realloc",         "posix_memalign",
                                    "memalign",     "valloc",    "pvalloc",     "aligned_alloc",   "dlopen",
                                    "dlmopen",      "dlclose",   "dlsym",       "dl_iterate_phdr", "pthread_create",
                                    "pthread_exit", "fork",      "vfork",       "_Fork",           "exit",
                                    "mallinfo",     "mallinfo2", "malloc_trim", "malloc_info",     "malloc_stats"};
// System calls that allocators and the loader make while they hold a lock. Waiting for a lock (futex) is told apart by
// the stack.
constexpr uint64_t kMemoryCalls[] = {SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk};

class Search {
 public:
  Search(Tracer* tracer, const LoadedModules& modules)
      : tracer_(*tracer), modules_(modules), mappings_(tracer->memory().Mappings()) {
    const auto file_at = [this](uint64_t address) {
      const RemoteMapping* mapping = MappingAt(address);
      return mapping != nullptr ? mapping->file : "";
    };
    loader_ = file_at(tracer->memory().Auxiliary(AT_BASE));
    for (const RemoteModule& module : modules.modules) {
      if (module.Find("__libc_start_main").has_value()) libc_ = file_at(module.dynamic());
      for (const char* name : kLocking) {
        if (const auto symbol = module.Find(name)) locking_.insert(symbol->address);
      }
    }
  }

  // The thread at the first breakpoint that is reached by a call from the program or a library of its own; 0: none in
  // time.
  pid_t AtBreakpoint(std::chrono::milliseconds limit) {
    const auto deadline = TracerClock::now() + limit;
    tracer_.Plant(Entries());
    tracer_.ResumeAll();
    for (;;) {
      const TraceEvent event = tracer_.Wait(deadline);
      if (event.kind == TraceEvent::Kind::kTimeout || tracer_.ended()) break;
      if (event.kind != TraceEvent::Kind::kBreakpoint) continue;
      if (IsCalledFromOutside(event.thread) && !HoldsLock(Unwind(event.thread))) {
        tracer_.RemoveBreakpoints();
        return event.thread;
      }
      tracer_.StepOver(event.thread);
    }
    tracer_.RemoveBreakpoints();
    return 0;
  }

  // Requires: all are stopped. The one that waits in a system call is better than the one that computes.
  pid_t ByStack() {
    pid_t computing = 0;
    for (const pid_t thread : tracer_.Threads()) {
      Registers registers;
      if (!tracer_.IsFree(thread) || !tracer_.GetRegisters(thread, &registers)) continue;
      const RemoteStack stack = Unwind(thread);
      if (!stack.whole || HoldsLock(stack)) continue;
      if (InSystemCall(registers) && !IsMemoryCall(registers)) return thread;
      if (!InSystemCall(registers) && !IsIn(Pc(registers), libc_) && computing == 0) computing = thread;
    }
    return computing;
  }

 private:
  const RemoteMapping* MappingAt(uint64_t address) const {
    const auto found =
        std::find_if(mappings_.begin(), mappings_.end(), [address](const auto& m) { return m.Contains(address); });
    return found != mappings_.end() ? &*found : nullptr;
  }

  bool IsIn(uint64_t address, const std::string& file) const {
    const RemoteMapping* mapping = MappingAt(address);
    return mapping != nullptr && !file.empty() && mapping->file == file;
  }

  std::vector<uint64_t> Entries() const {
    std::vector<uint64_t> entries;
    for (const char* name : kAllocation) {
      for (const RemoteModule& module : modules_.modules) {
        const auto symbol = module.Find(name);
        if (!symbol.has_value()) continue;
        const RemoteMapping* mapping = MappingAt(symbol->address);
        if (mapping != nullptr && mapping->executable) entries.push_back(symbol->address);
        break;
      }
    }
    std::sort(entries.begin(), entries.end());
    entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
    return entries;
  }

  bool IsCalledFromOutside(pid_t thread) const {
    Registers registers;
    if (!tracer_.IsFree(thread) || !tracer_.GetRegisters(thread, &registers)) return false;
    uint64_t caller = 0;
    if (!ReturnAddress(tracer_.memory(), registers, &caller)) return false;
    return MappingAt(caller) != nullptr && !IsIn(caller, loader_) && !IsIn(caller, libc_);
  }

  RemoteStack Unwind(pid_t thread) const { return UnwindThread(tracer_, thread, mappings_); }

  // Only callers: the innermost frame of a thread at a breakpoint stands before the first instruction.
  bool HoldsLock(const RemoteStack& stack) const {
    for (size_t i = 0; i < stack.frames.size(); ++i) {
      const RemoteFrame& frame = stack.frames[i];
      if (i == 0 && frame.pc == frame.function) continue;
      if (locking_.contains(frame.function) || (IsIn(frame.pc, loader_) && loader_ != libc_)) return true;
    }
    return false;
  }

  static bool IsMemoryCall(const Registers& registers) {
    return std::find(std::begin(kMemoryCalls), std::end(kMemoryCalls), SystemCall(registers)) != std::end(kMemoryCalls);
  }

  Tracer& tracer_;
  const LoadedModules& modules_;
  std::vector<RemoteMapping> mappings_;
  std::string loader_;  // files
  std::string libc_;
  std::set<uint64_t> locking_;
};

}  // namespace

SafePoint FindSafePoint(Tracer* tracer, const LoadedModules& modules, std::chrono::milliseconds limit) {
  Problem problem = tracer->StopAll();
  if (!problem.empty()) return {0, problem};
  Search search(tracer, modules);
  // A stack that is no good now may be the next time: also a program that allocates little is not always doing it.
  constexpr int kAttempts = 3;
  for (int i = 0; i < kAttempts; ++i) {
    if (const pid_t thread = search.AtBreakpoint(limit); thread != 0) return {thread, ""};
    problem = tracer->StopAll();
    if (!problem.empty()) return {0, problem};
    if (const pid_t thread = search.ByStack(); thread != 0) {
      tracer->ResumeAllBut(thread);
      return {thread, ""};
    }
  }
  tracer->ResumeAll();
  return {0,
          "no thread came to a point where it surely holds no lock of the allocator or the loader: none called an "
          "allocation function from its own code within " +
              std::to_string(limit.count()) +
              " ms, and no stack could be read to its end; try again while the process is busy, or give it longer with "
              "--wait"};
}

}  // namespace memtrace::injector
