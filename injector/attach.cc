#include "injector/attach.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>

#include "injector/attach_checks.h"
#include "injector/bind.h"
#include "injector/container_root.h"
#include "injector/load_library.h"
#include "injector/remote_thread.h"
#include "injector/safe_point.h"
#include "injector/tracer.h"
#include "libmemtrace/format/recording.h"

namespace memtrace::injector {
namespace {

using format::ControlBlock;
using format::Order;

// How often something is looked at again that other threads are about to finish.
constexpr int kAttempts = 50;
constexpr auto kPause = std::chrono::milliseconds(10);

// Whoever interrupts memtrace must not leave breakpoints behind: signals wait until the process is let go.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

std::string ErrorText(int64_t error) { return strerror(static_cast<int>(-error)); }

// Without glibc the late one; another library that was named may have none beside it.
std::string LibraryFor(const LoadedModules& modules, const std::string& library) {
  const bool is_glibc = std::any_of(modules.modules.begin(), modules.modules.end(),
                                    [](const auto& module) { return module.Find("gnu_get_libc_version").has_value(); });
  const std::string late = is_glibc ? "" : LateLibrary(library);
  return late.empty() ? library : late;
}

class Session {
 public:
  explicit Session(pid_t pid) : memory_(pid), tracer_(&memory_) {}

  Problem Begin() {
    const Problem problem = WhyNotAttachable(memory_.pid());
    if (!problem.empty()) return problem;
    if (!memory_.ok()) return WhyNotTraceable(memory_.pid(), strerror(memory_.error()));
    const Problem refused = tracer_.Seize();
    if (!refused.empty()) return WhyNotTraceable(memory_.pid(), refused);
    // A program that was just started: its loader has not made the list yet.
    for (int i = 0; i < kAttempts; ++i) {
      Look();
      const auto& all = modules_.modules;
      const auto has_malloc = [](const RemoteModule& module) { return module.Find("malloc").has_value(); };
      if (modules_.consistent && std::any_of(all.begin(), all.end(), has_malloc)) break;
      tracer_.Wait(TracerClock::now() + kPause);
    }
    if (modules_.modules.empty()) {
      return "process " + std::to_string(memory_.pid()) +
             " has no list of loaded libraries: it is static, or its loader "
             "has not run yet; try again in a moment";
    }
    return "";
  }

  Problem Attach(const AttachOrder& order);
  Problem Detach();

  bool recording() const {
    uint32_t mode = 0;
    return library_ && memory_.ReadObject(library_->block.mode, &mode) && mode == format::kModeRecording;
  }
  bool has_library() const { return library_.has_value(); }
  bool own_malloc() const { return modules_.modules[0].Find("malloc").has_value(); }
  std::string path() const { return library_ ? Printable(memory_.ReadString(library_->block.path, 1024), 1024) : ""; }

 private:
  void Look() {
    modules_ = ReadModules(memory_);
    library_ = FindLibraryIn(memory_, modules_);
  }
  Problem Load(const AttachOrder& order);
  // Stops all threads while the loader is not in the middle of anything and at least one thread is ThreadOutside().
  Problem StopAtRest();
  // A stopped thread that is not inside the library; 0: none.
  pid_t ThreadOutside() const;
  bool AllOutside() const;
  bool IsBusy(pid_t thread) const;
  Problem Command(pid_t thread, Order command, const Settings& settings);
  std::string Environment(const Settings& settings) const;
  void NoteHeap(RemoteThread* thread);

  ProcessMemory memory_;
  Tracer tracer_;
  LoadedModules modules_;
  std::optional<LibraryInTarget> library_;
  uint64_t heap_bytes_before_ = format::kUnknown;
};

// What the allocator holds already, if it is that of glibc 2.33 or newer. The thread must not hold its lock.
void Session::NoteHeap(RemoteThread* thread) {
  struct MallInfo2 {
    uint64_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
  } info = {};
  const auto first = std::find_if(modules_.modules.begin(), modules_.modules.end(),
                                  [](const RemoteModule& module) { return module.Find("malloc").has_value(); });
  if (first == modules_.modules.end()) return;
  const auto function = first->Find("mallinfo2");
  const uint64_t at = thread->Put(&info, sizeof(info));
  int64_t unused = 0;
  if (!function || at == 0 || !thread->Call(function->address, {at}, &unused).empty()) return;
  if (memory_.ReadObject(at, &info)) heap_bytes_before_ = info.uordblks + info.hblkhd;
}

Problem Session::Load(const AttachOrder& order) {
  const SafePoint point = FindSafePoint(&tracer_, modules_, order.wait);
  if (point.thread == 0) return point.message;
  RemoteThread thread(&tracer_, point.thread);
  Problem problem = thread.Prepare(format::kControlStackBytes);
  if (problem.empty()) NoteHeap(&thread);
  if (problem.empty()) problem = LoadLibrary(&thread, modules_, LibraryFor(modules_, order.library));
  if (!problem.empty()) return problem;
  Look();
  return library_ ? "" : order.library + " was loaded but is not the library of this memtrace";
}

bool Session::IsBusy(pid_t thread) const {
  Registers registers;
  uint8_t busy = 0;
  return library_->block.thread_busy_known != 0 && tracer_.GetRegisters(thread, &registers) &&
         memory_.ReadObject(
             ThreadPointer(thread, registers) + static_cast<uint64_t>(library_->block.thread_busy_offset), &busy) &&
         busy != 0;
}

pid_t Session::ThreadOutside() const {
  for (const pid_t thread : tracer_.Threads()) {
    if (tracer_.IsFree(thread) && !IsBusy(thread)) return thread;
  }
  return 0;
}

bool Session::AllOutside() const {
  const auto threads = tracer_.Threads();
  return std::none_of(threads.begin(), threads.end(), [this](pid_t thread) { return IsBusy(thread); });
}

// The MEMTRACE_ variables that the process was started with, replaced by those that the user gives; each ended by a
// NUL.
std::string Session::Environment(const Settings& settings) const {
  std::string result;
  const std::string initial = ReadProcFile("/proc/" + std::to_string(memory_.pid()) + "/environ");
  for (size_t at = 0; at < initial.size();) {
    const size_t end = std::min(initial.find('\0', at), initial.size());
    const std::string entry = initial.substr(at, end - at);
    const bool replaced = std::any_of(settings.begin(), settings.end(),
                                      [&](const auto& setting) { return entry.starts_with(setting.first + "="); });
    if (entry.starts_with("MEMTRACE_") && !replaced) result.append(entry).push_back('\0');
    at = end + 1;
  }
  for (const auto& [name, value] : settings) result.append(name).append("=").append(value).push_back('\0');
  return result;
}

Problem Session::Command(pid_t id, Order command, const Settings& settings) {
  RemoteThread thread(&tracer_, id);
  Problem problem = thread.Prepare(format::kControlStackBytes);
  if (!problem.empty()) return problem;
  uint64_t environment = 0;
  if (command == Order::kStart) {
    const std::string texts = Environment(settings);
    const uint64_t at = thread.Put(texts.data(), texts.size());
    std::vector<uint64_t> pointers;
    for (size_t i = 0; i < texts.size(); i = texts.find('\0', i) + 1) pointers.push_back(at + i);
    pointers.push_back(0);
    environment = thread.Put(pointers.data(), pointers.size() * sizeof(uint64_t));
    if (at == 0 || environment == 0) return "the MEMTRACE_ variables of the process are too long";
  }
  int64_t result = 0;
  problem = thread.Call(library_->control, {static_cast<uint64_t>(command), environment}, &result);
  if (!problem.empty() || result == 0) return problem;
  if (result == -EPERM) return "MEMTRACE_ONLY or MEMTRACE_SKIP, as the process has them, exclude this program";
  return "the process cannot record: " + ErrorText(result) + "; MEMTRACE_DIR must be a directory that it can write, " +
         "give another with --dir";
}

Problem Session::StopAtRest() {
  for (int i = 0; i < kAttempts; ++i) {
    const Problem problem = tracer_.StopAll();
    if (!problem.empty()) return problem;
    if (ReadModules(memory_).consistent && ThreadOutside() != 0) return "";
    tracer_.ResumeAll();
    std::this_thread::sleep_for(kPause);
  }
  return "the loader of the process, or the library, is busy all the time; try again";
}

Problem Session::Attach(const AttachOrder& order) {
  if (!library_) {
    const Problem problem = Load(order);
    if (!problem.empty()) return problem;
  }
  memory_.Write(library_->block_at + offsetof(ControlBlock, heap_bytes_before), &heap_bytes_before_,
                sizeof(heap_bytes_before_));
  const Binding binding = PlanBinding(memory_, modules_, *library_, true);
  Problem problem = StopAtRest();
  if (problem.empty()) problem = Command(ThreadOutside(), Order::kStart, order.settings);
  if (!problem.empty()) return problem;
  library_ = FindLibraryIn(memory_, modules_);
  if (ApplyBinding(memory_, binding, *library_, true) > 0) return "";
  return "no call of an allocation function was found in the process";
}

Problem Session::Detach() {
  const Binding binding = PlanBinding(memory_, modules_, *library_, false);
  Problem problem = StopAtRest();
  if (!problem.empty()) return problem;
  ApplyBinding(memory_, binding, *library_, false);
  problem = Command(ThreadOutside(), Order::kStop, {});
  if (!problem.empty() || library_->block.thread_busy_known == 0) return problem;
  // Memory is given back when everybody has left the library; else it stays, which harms nobody.
  for (int i = 0; i < kAttempts && !AllOutside(); ++i) {
    tracer_.ResumeAll();
    std::this_thread::sleep_for(kPause);
    if (!tracer_.StopAll().empty()) return "";
  }
  const pid_t thread = ThreadOutside();
  return AllOutside() && thread != 0 ? Command(thread, Order::kRelease, {}) : "";
}

}  // namespace

AttachOutcome Attach(const AttachOrder& order) {
  const SignalsBlocked blocked;
  Session session(order.pid);
  const std::string number = std::to_string(order.pid);
  Problem problem = session.Begin();
  if (!problem.empty()) return {false, problem, ""};
  if (session.recording()) {
    return {false,
            "process " + number + " is recorded already, to " + session.path() + "; `memtrace snapshot " + number +
                "` takes a snapshot, `memtrace detach " + number + "` ends it",
            ""};
  }
  std::string warning;
  if (session.own_malloc()) {
    warning = "the executable has its own malloc: calls inside of it are not seen, only those of its libraries";
  }
  problem = session.Attach(order);
  if (!problem.empty()) return {false, problem, ""};
  return {true, session.path(), warning};
}

AttachOutcome Detach(pid_t pid) {
  const SignalsBlocked blocked;
  Session session(pid);
  const std::string number = std::to_string(pid);
  Problem problem = session.Begin();
  if (!problem.empty()) return {false, problem, ""};
  if (!session.recording()) {
    return {false,
            "process " + number +
                (session.has_library() ? " is not recorded any more"
                                       : " is not recorded: memtrace was never attached to it"),
            ""};
  }
  const std::string path = session.path();
  problem = session.Detach();
  return {problem.empty(), problem.empty() ? path : problem, ""};
}

}  // namespace memtrace::injector
