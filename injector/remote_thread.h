// A stopped thread of another process that runs code for us and then goes on as if nothing had been: registers, vector
// registers, signal mask, errno and an interrupted system call are as they were.
#ifndef MEMTRACE_INJECTOR_REMOTE_THREAD_H_
#define MEMTRACE_INJECTOR_REMOTE_THREAD_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "injector/tracer.h"

namespace memtrace::injector {

class RemoteThread {
 public:
  // `thread` is stopped and IsFree. The first instructions of the program, which have had their time, serve as the
  // place to run from.
  RemoteThread(Tracer* tracer, pid_t thread);
  ~RemoteThread();
  RemoteThread(const RemoteThread&) = delete;
  RemoteThread& operator=(const RemoteThread&) = delete;

  // Saves the state of the thread and maps a stack of `bytes` in the process.
  Problem Prepare(uint64_t stack_bytes);

  // A system call; *result is a negative error number on failure. Meanwhile signals wait, and the other threads go on
  // if they are not stopped.
  Problem Syscall(long number, std::initializer_list<uint64_t> arguments, int64_t* result);
  // A function that follows the C calling convention, on a stack of its own.
  Problem Call(uint64_t function, std::initializer_list<uint64_t> arguments, int64_t* result);
  // After this errno is saved too.
  void SaveErrno(uint64_t errno_location_function);

  // Copies data to the far end of the stack; returns its address, 0 if there is no room. It is there until the thread
  // is restored.
  uint64_t Put(const void* data, size_t size);
  uint64_t Put(const std::string& text) { return Put(text.c_str(), text.size() + 1); }

  pid_t id() const { return thread_; }
  // A seccomp filter is in force, which may kill for a system call that the process does not make by itself.
  bool filtered() const { return filtered_; }
  const ProcessMemory& memory() const { return tracer_.memory(); }

 private:
  Problem Run(const Registers& registers, int64_t* result);
  void Restore();
  bool GetSet(unsigned type, std::vector<uint8_t>* content) const;

  Tracer& tracer_;
  pid_t thread_;
  bool prepared_ = false;
  bool filtered_ = false;
  bool lost_ = false;  // the thread does not stand where it should: its registers are not to be trusted
  Registers registers_ = {};
  std::vector<std::pair<unsigned, std::vector<uint8_t>>> sets_;
  uint64_t mask_ = 0;
  uint64_t entry_ = 0;
  uint8_t entry_code_[sizeof(kTrampoline)] = {};
  uint64_t stack_ = 0;
  uint64_t stack_bytes_ = 0;
  uint64_t used_ = 0;  // by Put, from the low end
  uint64_t errno_at_ = 0;
  int errno_ = 0;
};

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_REMOTE_THREAD_H_
