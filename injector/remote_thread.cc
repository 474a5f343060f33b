#include "injector/remote_thread.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace memtrace::injector {
namespace {

constexpr auto kCallLimit = std::chrono::seconds(10);
constexpr size_t kLargestRegisterSet = 64 * 1024;

// Requests that glibc of 2012 and musl do not name alike.
constexpr int kGetSignalMask = 0x420a;
constexpr int kSetSignalMask = 0x420b;

long Ptrace(int request, pid_t thread, uintptr_t address, void* data) {
  return ptrace(static_cast<__ptrace_request>(request), thread, address, data);
}

}  // namespace

RemoteThread::RemoteThread(Tracer* tracer, pid_t thread) : tracer_(*tracer), thread_(thread) {}

RemoteThread::~RemoteThread() {
  if (prepared_) Restore();
}

bool RemoteThread::GetSet(unsigned type, std::vector<uint8_t>* content) const {
  content->resize(kLargestRegisterSet);
  iovec area{content->data(), content->size()};
  if (Ptrace(PTRACE_GETREGSET, thread_, type, &area) != 0) return false;
  content->resize(area.iov_len);
  return true;
}

Problem RemoteThread::Prepare(uint64_t stack_bytes) {
  const std::string subject = "thread " + std::to_string(thread_);
  entry_ = memory().Auxiliary(AT_ENTRY);
  if (!tracer_.GetRegisters(thread_, &registers_)) return "the registers of " + subject + " cannot be read";
  if (entry_ == 0 || !memory().Read(entry_, entry_code_, sizeof(entry_code_))) {
    return "the start of the program cannot be found in its memory";
  }
  for (const unsigned type : kRegisterSets) {
    std::vector<uint8_t> content;
    if (GetSet(type, &content)) sets_.emplace_back(type, std::move(content));
  }
  if (Ptrace(kGetSignalMask, thread_, sizeof(mask_), &mask_) != 0)
    return "the signal mask of " + subject + " cannot be read";
  // Signals wait, but for those that code brings on itself: the kernel would reset their actions.
  uint64_t all = ~uint64_t{0};
  for (const int signal : {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE}) all &= ~(uint64_t{1} << (signal - 1));
  if (Ptrace(kSetSignalMask, thread_, sizeof(all), &all) != 0)
    return "the signal mask of " + subject + " cannot be set";
  // Suspends the filter where we may (CAP_SYS_ADMIN).
  const bool has_filter = StatusField(thread_, "Seccomp:").find_first_not_of('0') != std::string::npos;
  filtered_ = has_filter && !tracer_.SuspendSeccomp(thread_, true);
  prepared_ = true;
  tracer_.SetActive(thread_);
  if (!memory().Write(entry_, kTrampoline, sizeof(kTrampoline))) {
    return "the memory of the process cannot be written: " + std::string(strerror(errno)) +
           "; the kernel may forbid it (proc_mem.force_override)";
  }
  int64_t mapped = 0;
  Problem problem = Syscall(
      SYS_mmap, {0, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, static_cast<uint64_t>(-1), 0},
      &mapped);
  if (!problem.empty()) return problem;
  if (mapped < 0 && mapped > -4096)
    return "the process gets no memory: " + std::string(strerror(static_cast<int>(-mapped)));
  stack_ = static_cast<uint64_t>(mapped);
  stack_bytes_ = stack_bytes;
  return "";
}

Problem RemoteThread::Run(const Registers& registers, int64_t* result) {
  if (lost_) return "the process did not come back from the last call";
  if (!tracer_.SetRegisters(thread_, registers)) return "the registers cannot be written";
  const auto deadline = TracerClock::now() + kCallLimit;
  tracer_.Resume(thread_);
  for (;;) {
    const TraceEvent event = tracer_.Wait(deadline);
    if (event.kind == TraceEvent::Kind::kTimeout) {
      lost_ = true;
      return "a call in the process did not return within 10 s";
    }
    if (tracer_.ended()) return "the process ended meanwhile";
    if (event.kind == TraceEvent::Kind::kBreakpoint) tracer_.Resume(event.thread);
    if (event.thread != thread_) continue;
    if (event.kind == TraceEvent::Kind::kGone) {
      lost_ = true;
      return "the thread ended meanwhile";
    }
    if (event.kind != TraceEvent::Kind::kStopped) continue;
    Registers now;
    if (!tracer_.GetRegisters(thread_, &now)) continue;
    const uint64_t code = Pc(now) - entry_;
    if (event.signal == SIGTRAP && code <= sizeof(kTrampoline)) {
      *result = Result(now);
      return "";
    }
    if (event.signal == SIGSEGV || event.signal == SIGBUS || event.signal == SIGILL || event.signal == SIGFPE) {
      return "the call crashed in the process (signal " + std::to_string(event.signal) + "); it goes on as before";
    }
    tracer_.Resume(thread_);
  }
}

Problem RemoteThread::Syscall(long number, std::initializer_list<uint64_t> arguments, int64_t* result) {
  Registers registers = registers_;
  PrepareSyscall(&registers, static_cast<uint64_t>(number), arguments);
  SetPc(&registers, entry_);
  return Run(registers, result);
}

Problem RemoteThread::Call(uint64_t function, std::initializer_list<uint64_t> arguments, int64_t* result) {
  Registers registers = registers_;
  PrepareCall(&registers, function, stack_ + stack_bytes_ - 256, arguments);
  SetPc(&registers, entry_ + kTrampolineCall);
  return Run(registers, result);
}

void RemoteThread::SaveErrno(uint64_t errno_location_function) {
  int64_t at = 0;
  if (errno_location_function == 0 || !Call(errno_location_function, {}, &at).empty()) return;
  if (memory().ReadObject(static_cast<uint64_t>(at), &errno_)) errno_at_ = static_cast<uint64_t>(at);
}

uint64_t RemoteThread::Put(const void* data, size_t size) {
  const uint64_t rounded = (size + 15) & ~uint64_t{15};
  if (stack_ == 0 || used_ + rounded > stack_bytes_ / 2 || !memory().Write(stack_ + used_, data, size)) return 0;
  used_ += rounded;
  return stack_ + used_ - rounded;
}

void RemoteThread::Restore() {
  if (errno_at_ != 0) memory().Write(errno_at_, &errno_, sizeof(errno_));
  int64_t unused = 0;
  if (stack_ != 0 && !lost_) Syscall(SYS_munmap, {stack_, stack_bytes_}, &unused);
  tracer_.SetActive(0);
  tracer_.SuspendSeccomp(thread_, false);
  memory().Write(entry_, entry_code_, sizeof(entry_code_));
  if (tracer_.ended()) return;
  if (lost_ && !tracer_.StopAll().empty()) return;
  for (auto& [type, content] : sets_) {
    iovec area{content.data(), content.size()};
    Ptrace(PTRACE_SETREGSET, thread_, type, &area);
  }
  Ptrace(kSetSignalMask, thread_, sizeof(mask_), &mask_);
}

}  // namespace memtrace::injector
