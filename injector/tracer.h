// Traces all threads of a process with ptrace: stops and resumes them, plants breakpoints. Signals that arrive
// meanwhile are delivered, threads and processes that are born meanwhile are minded.
#ifndef MEMTRACE_INJECTOR_TRACER_H_
#define MEMTRACE_INJECTOR_TRACER_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "injector/process_memory.h"
#include "injector/registers.h"

namespace memtrace::injector {

using TracerClock = std::chrono::steady_clock;
// What went wrong, and what to do; empty: nothing.
using Problem = std::string;

struct TraceEvent {
  enum class Kind {
    kTimeout,
    kBreakpoint,  // `thread` has reached a planted breakpoint, stands before it, and is stopped
    kStopped,     // the active thread stopped because of `signal`
    kGone,        // a thread, or all of them, ended
  };
  Kind kind = Kind::kTimeout;
  pid_t thread = 0;
  int signal = 0;
};

class Tracer {
 public:
  // Requires: `memory` outlives the tracer.
  explicit Tracer(const ProcessMemory* memory);
  // Lets go of all threads. What was stopped before goes on being stopped.
  ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  // Begins to trace; the threads go on running.
  Problem Seize();
  Problem StopAll();
  void ResumeAll();
  void ResumeAllBut(pid_t thread);
  void Resume(pid_t thread);

  // Requires: all threads are stopped. Those that cannot be written are left out.
  void Plant(const std::vector<uint64_t>& addresses);
  void RemoveBreakpoints();
  // Lets a stopped thread execute the one instruction under a breakpoint.
  void StepOver(pid_t thread);

  // Waits for the next event that is somebody's business.
  TraceEvent Wait(TracerClock::time_point deadline);

  // While `thread` is traced; false if the kernel does not allow it.
  bool SuspendSeccomp(pid_t thread, bool on) const;

  // The thread that runs code for us: nothing about it is decided here. 0: none.
  void SetActive(pid_t thread) { active_ = thread; }

  std::vector<pid_t> Threads() const;
  bool IsStopped(pid_t thread) const;
  // Stopped where no signal waits for delivery and no stop of the whole process is in force.
  bool IsFree(pid_t thread) const;
  bool ended() const { return threads_.empty() || replaced_; }
  bool GetRegisters(pid_t thread, Registers* registers) const;
  bool SetRegisters(pid_t thread, const Registers& registers) const;
  const ProcessMemory& memory() const { return memory_; }

 private:
  struct Thread {
    bool stopped = false;
    bool group_stop = false;  // SIGSTOP and its like
    int signal = 0;           // to be delivered when it goes on
  };
  struct Breakpoint {
    uint64_t address;
    uint8_t original[sizeof(kBreakpointCode)];
    bool planted;
  };

  void SeizeNew(Problem* problem);
  TraceEvent Handle(pid_t thread, int status);
  TraceEvent HandleStop(pid_t id, Thread* thread, int signal, int event);
  void HandleStranger(pid_t id, int status);
  void RestartSystemCall(pid_t thread) const;
  bool StandsBehindBreakpoint(pid_t thread, uint64_t* address) const;
  void LoseBreakpointSignals();
  // `all`: also where none is planted any more.
  void WriteOriginals(const ProcessMemory& memory, bool all) const;

  const ProcessMemory& memory_;
  pid_t pid_;
  std::map<pid_t, Thread> threads_;
  std::vector<Breakpoint> breakpoints_;  // also those that were removed: somebody may just have hit one
  pid_t active_ = 0;
  bool stopping_ = false;
  bool replaced_ = false;  // by exec
};

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_TRACER_H_
