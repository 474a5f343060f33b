#include "injector/tracer.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace memtrace::injector {
namespace {

constexpr auto kStopLimit = std::chrono::seconds(5);
// A thread that could run but is given no processor: a busy machine, or a quota that is used up.
constexpr auto kStarvedLimit = std::chrono::seconds(60);
constexpr long kOptions = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;

long Ptrace(int request, pid_t thread, uintptr_t address = 0, uintptr_t data = 0) {
  return ptrace(static_cast<__ptrace_request>(request), thread, address, data);
}

bool IsGroupStop(int signal, int event) { return event == PTRACE_EVENT_STOP && signal != SIGTRAP; }

// SIGTRAP was sent to the thread and not yet reported.
bool TrapIsPending(pid_t pid, pid_t thread) {
  const std::string status =
      ReadProcFile("/proc/" + std::to_string(pid) + "/task/" + std::to_string(thread) + "/status");
  const size_t at = status.find("\nSigPnd:");
  if (at == std::string::npos) return false;
  return (strtoull(status.c_str() + at + strlen("\nSigPnd:"), nullptr, 16) >> (SIGTRAP - 1) & 1) != 0;
}

}  // namespace

Tracer::Tracer(const ProcessMemory* memory) : memory_(*memory), pid_(memory->pid()) {}

Tracer::~Tracer() {
  if (threads_.empty()) return;
  StopAll();
  RemoveBreakpoints();
  LoseBreakpointSignals();
  for (const auto& [id, thread] : threads_) {
    if (thread.stopped) Ptrace(PTRACE_DETACH, id, 0, static_cast<uintptr_t>(thread.signal));
  }
}

void Tracer::SeizeNew(Problem* problem) {
  for (bool found = true; found && problem->empty();) {
    found = false;
    for (const pid_t id : ThreadsOf(pid_)) {
      if (threads_.contains(id)) continue;
      if (Ptrace(PTRACE_SEIZE, id, 0, kOptions) == 0) {
        threads_[id] = {};
        found = true;
      } else if (errno != ESRCH && StatusField(id, "TracerPid:") != std::to_string(getpid())) {
        *problem = strerror(errno);
        return;
      }
    }
  }
}

Problem Tracer::Seize() {
  Problem problem;
  SeizeNew(&problem);
  if (problem.empty() && threads_.empty()) problem = "there is no such process any more";
  return problem;
}

Problem Tracer::StopAll() {
  stopping_ = true;
  const auto begin = TracerClock::now();
  auto deadline = begin + kStopLimit;
  for (const auto& [id, thread] : threads_) {
    if (!thread.stopped) Ptrace(PTRACE_INTERRUPT, id);
  }
  const auto running = [](const auto& entry) { return !entry.second.stopped; };
  while (!ended()) {
    const auto late = std::find_if(threads_.begin(), threads_.end(), running);
    if (late == threads_.end()) return "";
    const TraceEvent event = Wait(deadline);
    if (event.kind != TraceEvent::Kind::kTimeout) continue;
    const bool starved = StatusField(late->first, "State:") == "R";
    if (starved && deadline < begin + kStarvedLimit) {
      deadline = begin + kStarvedLimit;
      continue;
    }
    const std::string thread = "thread " + std::to_string(late->first);
    if (starved) return thread + " was given no processor for a minute; try again when the machine is less busy";
    return thread + " did not stop within 5 s: it waits for a device or a file system, or its cgroup is frozen " +
           "(docker pause); try again when it runs";
  }
  return replaced_ ? "the process has become another program meanwhile; try again"
                   : "the process ended meanwhile; `memtrace run -- PROGRAM` records one from its start";
}

void Tracer::Resume(pid_t id) {
  const auto found = threads_.find(id);
  if (found == threads_.end() || !found->second.stopped) return;
  Thread& thread = found->second;
  thread.stopped = false;
  if (thread.group_stop) {
    Ptrace(PTRACE_LISTEN, id);
  } else {
    Ptrace(PTRACE_CONT, id, 0, static_cast<uintptr_t>(thread.signal));
  }
  thread.signal = 0;
}

void Tracer::ResumeAll() { ResumeAllBut(0); }

void Tracer::ResumeAllBut(pid_t thread) {
  stopping_ = false;
  for (const pid_t id : Threads()) {
    if (id != thread) Resume(id);
  }
}

void Tracer::Plant(const std::vector<uint64_t>& addresses) {
  for (const uint64_t address : addresses) {
    Breakpoint breakpoint{address, {}, true};
    if (!memory_.Read(address, breakpoint.original, sizeof(breakpoint.original)) ||
        !memory_.Write(address, kBreakpointCode, sizeof(kBreakpointCode))) {
      continue;
    }
    breakpoints_.push_back(breakpoint);
  }
}

void Tracer::WriteOriginals(const ProcessMemory& memory, bool all) const {
  for (const Breakpoint& breakpoint : breakpoints_) {
    if (all || breakpoint.planted) memory.Write(breakpoint.address, breakpoint.original, sizeof(breakpoint.original));
  }
}

bool Tracer::SuspendSeccomp(pid_t thread, bool on) const {
  constexpr long kSuspend = 1 << 21;  // PTRACE_O_SUSPEND_SECCOMP, Linux 4.3
  return Ptrace(PTRACE_SETOPTIONS, thread, 0, static_cast<uintptr_t>(kOptions | (on ? kSuspend : 0))) == 0;
}

void Tracer::RemoveBreakpoints() {
  WriteOriginals(memory_, false);
  for (Breakpoint& breakpoint : breakpoints_) breakpoint.planted = false;
}

void Tracer::StepOver(pid_t id) {
  WriteOriginals(memory_, false);
  const pid_t active = active_;
  active_ = id;
  threads_[id].stopped = false;
  Ptrace(PTRACE_SINGLESTEP, id);
  std::vector<pid_t> others;  // that meet a breakpoint meanwhile: they will again
  TraceEvent event;
  do {
    event = Wait(TracerClock::now() + std::chrono::seconds(1));
    if (event.kind == TraceEvent::Kind::kBreakpoint && event.thread != id) others.push_back(event.thread);
  } while (event.kind != TraceEvent::Kind::kTimeout && event.thread != id && !ended());
  active_ = active;
  if (event.kind == TraceEvent::Kind::kStopped && event.signal != SIGTRAP) threads_[id].signal = event.signal;
  for (const Breakpoint& breakpoint : breakpoints_) {
    if (breakpoint.planted) memory_.Write(breakpoint.address, kBreakpointCode, sizeof(kBreakpointCode));
  }
  Resume(id);
  for (const pid_t other : others) Resume(other);
}

bool Tracer::StandsBehindBreakpoint(pid_t thread, uint64_t* address) const {
  Registers registers;
  if (!GetRegisters(thread, &registers)) return false;
  *address = Pc(registers) - kBreakpointSkips;
  return std::any_of(breakpoints_.begin(), breakpoints_.end(),
                     [address](const Breakpoint& breakpoint) { return breakpoint.address == *address; });
}

// A thread that hit a breakpoint just before it was removed must not die of the signal.
void Tracer::LoseBreakpointSignals() {
  if (breakpoints_.empty()) return;
  for (const pid_t id : Threads()) {
    uint64_t address;
    if (!IsStopped(id) || !StandsBehindBreakpoint(id, &address) || !TrapIsPending(pid_, id)) continue;
    Resume(id);
    while (!ended() && !IsStopped(id)) {
      if (Wait(TracerClock::now() + std::chrono::seconds(1)).kind == TraceEvent::Kind::kTimeout) break;
    }
  }
}

// A child process, which has a copy of the breakpoints. One of vfork shares our memory; it does without them.
void Tracer::HandleStranger(pid_t id, int status) {
  if (!WIFSTOPPED(status)) return;
  const ProcessMemory child(id);
  if (child.ok()) WriteOriginals(child, true);
  Ptrace(PTRACE_DETACH, id);
}

// The kernel restarts most system calls that a stop has interrupted. These return EINTR instead (signal(7)), which no
// handler explains to the program: they are told to restart unless a handler runs. A time limit of theirs begins anew.
void Tracer::RestartSystemCall(pid_t thread) const {
#if defined(__x86_64__)
  constexpr uint64_t kCalls[] = {SYS_epoll_wait, SYS_epoll_pwait,  SYS_epoll_pwait2,    SYS_semop,
                                 SYS_semtimedop, SYS_io_getevents, SYS_rt_sigtimedwait, SYS_read,
                                 SYS_recvfrom,   SYS_recvmsg,      SYS_accept,          SYS_accept4};
  constexpr int64_t kRestartNoHandler = -514;  // ERESTARTNOHAND of include/linux/errno.h
  Registers registers;
  if (!GetRegisters(thread, &registers) || !InSystemCall(registers) || Result(registers) != -EINTR) return;
  if (std::find(std::begin(kCalls), std::end(kCalls), SystemCall(registers)) == std::end(kCalls)) return;
  registers.rax = static_cast<uint64_t>(kRestartNoHandler);
  SetRegisters(thread, registers);
#else
  (void)thread;  // the number of the call is not kept for us
#endif
}

TraceEvent Tracer::HandleStop(pid_t id, Thread* thread, int signal, int event) {
  if (event != 0 && event != PTRACE_EVENT_STOP) {
    // In the middle of a system call, whose result would be written over registers of ours. A stop that was asked for
    // follows.
    Ptrace(PTRACE_CONT, id);
    return {};
  }
  thread->stopped = true;
  thread->group_stop = IsGroupStop(signal, event);
  if (event == PTRACE_EVENT_STOP) RestartSystemCall(id);
  uint64_t address = 0;
  if (event == 0 && signal == SIGTRAP && StandsBehindBreakpoint(id, &address)) {
    Registers registers;
    if (GetRegisters(id, &registers)) {
      SetPc(&registers, address);
      SetRegisters(id, registers);
    }
    return {TraceEvent::Kind::kBreakpoint, id, 0};
  }
  if (id == active_) return {TraceEvent::Kind::kStopped, id, event == 0 || thread->group_stop ? signal : 0};
  if (event == 0) thread->signal = signal;
  if (!stopping_) Resume(id);
  return {};
}

TraceEvent Tracer::Handle(pid_t id, int status) {
  if (!WIFSTOPPED(status)) {
    const bool known = threads_.erase(id) > 0;
    return {known ? TraceEvent::Kind::kGone : TraceEvent::Kind::kTimeout, id, 0};
  }
  const int event = status >> 16;
  auto found = threads_.find(id);
  if (found == threads_.end()) {
    if (access(("/proc/" + std::to_string(pid_) + "/task/" + std::to_string(id)).c_str(), F_OK) != 0) {
      HandleStranger(id, status);
      return {};
    }
    found = threads_.emplace(id, Thread{}).first;
  }
  if (event == PTRACE_EVENT_EXEC) replaced_ = true;
  return HandleStop(id, &found->second, WSTOPSIG(status), event);
}

TraceEvent Tracer::Wait(TracerClock::time_point deadline) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  const bool was_stopping = stopping_;
  for (;;) {
    int status = 0;
    const pid_t id = waitpid(-1, &status, __WALL | WNOHANG);
    if (id > 0) {
      const TraceEvent event = Handle(id, status);
      if (event.kind != TraceEvent::Kind::kTimeout) return event;
      // A thread that has stopped as it should is news for who waits for all of them.
      if (was_stopping && IsStopped(id)) return {TraceEvent::Kind::kStopped, id, 0};
      continue;
    }
    if (id < 0 && errno == ECHILD) {
      threads_.clear();
      return {TraceEvent::Kind::kGone, 0, 0};
    }
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - TracerClock::now());
    if (left.count() <= 0) return {};
    // SIGCHLD is blocked by whoever traces (see attach.cc); a millisecond at most where it is not.
    const timespec time{0, std::min<long>(left.count(), 20'000'000)};
    sigtimedwait(&child, nullptr, &time);
  }
}

std::vector<pid_t> Tracer::Threads() const {
  std::vector<pid_t> ids;
  ids.reserve(threads_.size());
  for (const auto& [id, thread] : threads_) ids.push_back(id);
  return ids;
}

bool Tracer::IsStopped(pid_t id) const {
  const auto found = threads_.find(id);
  return found != threads_.end() && found->second.stopped;
}

bool Tracer::IsFree(pid_t id) const {
  const auto found = threads_.find(id);
  return found != threads_.end() && found->second.stopped && found->second.signal == 0 && !found->second.group_stop;
}

bool Tracer::GetRegisters(pid_t thread, Registers* registers) const {
  iovec area{registers, sizeof(*registers)};
  return Ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, reinterpret_cast<uintptr_t>(&area)) == 0;
}

bool Tracer::SetRegisters(pid_t thread, const Registers& registers) const {
  Registers copy = registers;
  iovec area{&copy, sizeof(copy)};
  return Ptrace(PTRACE_SETREGSET, thread, NT_PRSTATUS, reinterpret_cast<uintptr_t>(&area)) == 0;
}

}  // namespace memtrace::injector
