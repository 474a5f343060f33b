// x86-64: registers by their DWARF numbers (System V psABI, figure 3.36), the frame that the kernel
// pushes for a signal, and how to read the registers of the running thread.
#ifndef MEMTRACE_UNWIND_ARCH_X86_64_H_
#define MEMTRACE_UNWIND_ARCH_X86_64_H_

#include <elf.h>

#include <cstdint>

namespace memtrace::unwind::arch {

inline constexpr uint16_t kElfMachine = EM_X86_64;

// rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip
inline constexpr int kRegisters = 17;
inline constexpr int kFp = 6;
inline constexpr int kSp = 7;
inline constexpr int kReturnColumn = 16;
inline constexpr int kPc = 16;

// Registers whose rules are followed: those that a callee must preserve, and the return address.
inline constexpr uint8_t kTracked[] = {kFp, kReturnColumn, 3, 12, 13, 14, 15};

// The call pushed it, so every compact rule has the return address here, relative to the CFA.
inline constexpr bool kReturnAddressIsPushed = true;
inline constexpr int kPushedReturnAddress = -8;
// A leaf keeps its return address in no register.
inline constexpr int kLinkRegister = -1;

// Distance from sp to a register in struct rt_sigframe, at the point where the handler has returned
// into the restorer: ucontext lies at sp, its gregs at 40 (arch/x86/include/uapi/asm/sigcontext.h).
inline constexpr uint16_t kSignalOffset[kRegisters] = {144, 136, 152, 128, 112, 104, 120, 160, 40,
                                                       48,  56,  64,  72,  80,  88,  96,  168};

// Stubs of the procedure linkage table have tables.
inline constexpr int kLinkageStubBytes = 0;
inline bool IsLinkageStub(const uint8_t* /*code*/) { return false; }

// mov $__NR_rt_sigreturn, %rax (or %eax, musl's older restorer); syscall. The instruction is fixed by
// the kernel's ABI and recognised by gdb and libgcc in the same way; `code` holds kTrampolineBytes.
inline constexpr int kTrampolineBytes = 9;
inline bool IsSignalTrampoline(const uint8_t* code) {
  constexpr uint8_t kLong[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
  constexpr uint8_t kShort[] = {0xb8, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
  bool is_long = true;
  for (int i = 0; i < 9; ++i) is_long &= code[i] == kLong[i];
  bool is_short = true;
  for (int i = 0; i < 7; ++i) is_short &= code[i] == kShort[i];
  return is_long || is_short;
}

inline uintptr_t StripReturnAddress(uintptr_t address) { return address; }

// The first word of the thread control block points to itself (glibc: tcbhead_t, musl: struct pthread).
inline uintptr_t ThreadPointer() {
  uintptr_t pointer;
  asm("mov %%fs:0, %0" : "=r"(pointer));
  return pointer;
}

// Stores pc, sp and the callee-saved registers of the function that this is inlined into.
[[gnu::always_inline]] inline void CaptureRegisters(uint64_t (&values)[kRegisters]) {
  asm volatile(
      "movq %%rbx, 24(%0)\n\tmovq %%rbp, 48(%0)\n\tmovq %%rsp, 56(%0)\n\tmovq %%r12, 96(%0)\n\t"
      "movq %%r13, 104(%0)\n\tmovq %%r14, 112(%0)\n\tmovq %%r15, 120(%0)\n\t"
      "leaq 1f(%%rip), %%rax\n\tmovq %%rax, 128(%0)\n1:"
      :
      : "D"(values)
      : "rax", "memory");
}

}  // namespace memtrace::unwind::arch

#endif  // MEMTRACE_UNWIND_ARCH_X86_64_H_
