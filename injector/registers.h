// What the tracer has to know about the processor.
#ifndef MEMTRACE_INJECTOR_REGISTERS_H_
#define MEMTRACE_INJECTOR_REGISTERS_H_

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <cstdint>
#include <initializer_list>

#include "injector/process_memory.h"

namespace memtrace::injector {

struct Registers : user_regs_struct {};

#if defined(__x86_64__)

inline constexpr uint8_t kBreakpointCode[] = {0xcc};
// A breakpoint is reported with the program counter behind it.
inline constexpr uint64_t kBreakpointSkips = 1;
// syscall; int3; nop / call *%rax; int3; nop
inline constexpr uint8_t kTrampoline[] = {0x0f, 0x05, 0xcc, 0x90, 0xff, 0xd0, 0xcc, 0x90};
inline constexpr uint64_t kTrampolineCall = 4;
// Sets of registers that a call may change, in the order in which they are restored: NT_X86_XSTATE is not in <elf.h>
// of every libc.
inline constexpr unsigned kRegisterSets[] = {0x202, NT_PRSTATUS};

inline uint64_t Pc(const Registers& r) { return r.rip; }
inline void SetPc(Registers* r, uint64_t pc) { r->rip = pc; }
inline uint64_t Sp(const Registers& r) { return r.rsp; }
inline int64_t Result(const Registers& r) { return static_cast<int64_t>(r.rax); }
inline uint64_t ThreadPointer(pid_t, const Registers& r) { return r.fs_base; }
// Whether it was interrupted in a system call that the kernel will restart.
inline bool InSystemCall(const Registers& r) { return static_cast<int64_t>(r.orig_rax) >= 0; }
inline uint64_t SystemCall(const Registers& r) { return r.orig_rax; }
// At the first instruction of a function.
inline bool ReturnAddress(const ProcessMemory& memory, const Registers& r, uint64_t* address) {
  return memory.ReadObject(r.rsp, address);
}

// The registers in which `function` is called at the trampoline, or a system call made. A system call that was
// interrupted is not restarted meanwhile (orig_rax), but when the old registers are back.
inline void PrepareCall(Registers* r, uint64_t function, uint64_t stack, std::initializer_list<uint64_t> arguments) {
  decltype(&r->rdi) slots[] = {&r->rdi, &r->rsi, &r->rdx, &r->rcx, &r->r8, &r->r9};
  int i = 0;
  for (const uint64_t argument : arguments) *slots[i++] = argument;
  r->rax = function;
  r->rsp = stack;
  r->orig_rax = ~0ull;
  r->eflags &= ~0x400ull;  // DF, which the ABI wants clear
}
inline void PrepareSyscall(Registers* r, uint64_t number, std::initializer_list<uint64_t> arguments) {
  PrepareCall(r, number, r->rsp, arguments);
  r->r10 = r->rcx;
}

#elif defined(__aarch64__)

inline constexpr uint8_t kBreakpointCode[] = {0x00, 0x00, 0x20, 0xd4};  // brk #0
inline constexpr uint64_t kBreakpointSkips = 0;
// svc #0; brk #0; blr x16; brk #0
inline constexpr uint8_t kTrampoline[] = {0x01, 0x00, 0x00, 0xd4, 0x00, 0x00, 0x20, 0xd4,
                                          0x00, 0x02, 0x3f, 0xd6, 0x00, 0x00, 0x20, 0xd4};
inline constexpr uint64_t kTrampolineCall = 8;
inline constexpr unsigned kRegisterSets[] = {0x405 /* NT_ARM_SVE */, NT_PRFPREG, NT_PRSTATUS};

inline uint64_t Pc(const Registers& r) { return r.pc; }
inline void SetPc(Registers* r, uint64_t pc) { r->pc = pc; }
inline uint64_t Sp(const Registers& r) { return r.sp; }
inline int64_t Result(const Registers& r) { return static_cast<int64_t>(r.regs[0]); }
inline uint64_t ThreadPointer(pid_t thread, const Registers&) {
  uint64_t pointer = 0;
  iovec area{&pointer, sizeof(pointer)};
  constexpr uintptr_t kArmTls = 0x401;  // NT_ARM_TLS
  ptrace(PTRACE_GETREGSET, thread, kArmTls, &area);
  return pointer;
}
// The instruction before is svc #0; the kernel has already turned the program counter back to it for a restart.
inline bool InSystemCall(const Registers&) { return false; }
inline uint64_t SystemCall(const Registers& r) { return r.regs[8]; }
inline bool ReturnAddress(const ProcessMemory&, const Registers& r, uint64_t* address) {
  *address = r.regs[30];
  return true;
}

inline void PrepareCall(Registers* r, uint64_t function, uint64_t stack, std::initializer_list<uint64_t> arguments) {
  int i = 0;
  for (const uint64_t argument : arguments) r->regs[i++] = argument;
  if (i > 0) r->regs[8] = r->regs[0];  // where a large result goes
  r->regs[16] = function;
  r->sp = stack;
}
inline void PrepareSyscall(Registers* r, uint64_t number, std::initializer_list<uint64_t> arguments) {
  PrepareCall(r, 0, r->sp, arguments);
  r->regs[8] = number;
}

#endif

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_REGISTERS_H_
