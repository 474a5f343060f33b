// arm64: registers by their DWARF numbers (ARM IHI 0057, table 4), the frame that the kernel pushes for
// a signal, pointer authentication, and how to read the registers of the running thread.
#ifndef MEMTRACE_UNWIND_ARCH_AARCH64_H_
#define MEMTRACE_UNWIND_ARCH_AARCH64_H_

#include <elf.h>

#include <cstdint>

namespace memtrace::unwind::arch {

inline constexpr uint16_t kElfMachine = EM_AARCH64;

// x0..x30 sp pc. The link register x30 is the return address column; pc only differs from it in a
// frame that a signal interrupted.
inline constexpr int kRegisters = 33;
inline constexpr int kFp = 29;
inline constexpr int kSp = 31;
inline constexpr int kReturnColumn = 30;
inline constexpr int kPc = 32;

// Registers whose rules are followed: those that a callee must preserve, and the return address.
inline constexpr uint8_t kTracked[] = {kFp, kReturnColumn, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28};

inline constexpr bool kReturnAddressIsPushed = false;
inline constexpr int kPushedReturnAddress = 0;
inline constexpr int kLinkRegister = kReturnColumn;

// Distance from sp to a register in struct rt_sigframe: siginfo takes 128 bytes, uc_mcontext begins
// 176 bytes into the ucontext, after its fault_address come x0..x30, sp, pc
// (arch/arm64/include/uapi/asm/sigcontext.h).
inline constexpr uint16_t SignalOffset(int dwarf_register) {
  return static_cast<uint16_t>(128 + 176 + 8 + 8 * dwarf_register);
}
struct SignalOffsets {
  uint16_t values[kRegisters];
  constexpr SignalOffsets() : values() {
    for (int i = 0; i < kRegisters; ++i) values[i] = SignalOffset(i);
  }
  constexpr uint16_t operator[](int i) const { return values[i]; }
};
inline constexpr SignalOffsets kSignalOffset;
static_assert(kSignalOffset[kSp] == 560 && kSignalOffset[kPc] == 568);

// mov x8, #__NR_rt_sigreturn; svc #0: the vDSO's __kernel_rt_sigreturn and every libc's restorer.
inline constexpr int kTrampolineBytes = 8;
inline bool IsSignalTrampoline(const uint8_t* code) {
  constexpr uint8_t kCode[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4};
  bool same = true;
  for (int i = 0; i < 8; ++i) same &= code[i] == kCode[i];
  return same;
}

// A stub of the procedure linkage table, for which linkers write no tables here: adrp x16; ldr x17, [x16, n]; add x16,
// x16, n; br x17. It saves nothing, so the return address is in the link register throughout.
inline constexpr int kLinkageStubBytes = 16;
inline bool IsLinkageStub(const uint8_t* code) {
  constexpr uint32_t kMasks[] = {0x9f00001f, 0xffc003ff, 0xffc003ff, 0xffffffff};
  constexpr uint32_t kCode[] = {0x90000010, 0xf9400211, 0x91000210, 0xd61f0220};
  bool same = true;
  for (int i = 0; i < 4; ++i) {
    uint32_t word;
    __builtin_memcpy(&word, code + 4 * i, sizeof(word));
    same &= (word & kMasks[i]) == kCode[i];
  }
  return same;
}

// XPACLRI, a no-op hint where pointer authentication is absent; only works on x30.
inline uintptr_t StripReturnAddress(uintptr_t address) {
  register uintptr_t x30 asm("x30") = address;
  asm("hint #7" : "+r"(x30));
  return x30;
}

inline uintptr_t ThreadPointer() {
  uintptr_t pointer;
  asm("mrs %0, tpidr_el0" : "=r"(pointer));
  return pointer;
}

// Stores pc, sp and the callee-saved registers of the function that this is inlined into.
[[gnu::always_inline]] inline void CaptureRegisters(uint64_t (&values)[kRegisters]) {
  asm volatile(
      "stp x19, x20, [%0, #152]\n\tstp x21, x22, [%0, #168]\n\tstp x23, x24, [%0, #184]\n\t"
      "stp x25, x26, [%0, #200]\n\tstp x27, x28, [%0, #216]\n\tstp x29, x30, [%0, #232]\n\t"
      "mov x9, sp\n\tadr x10, 1f\n\tstp x9, x10, [%0, #248]\n1:"
      :
      : "r"(values)
      : "x9", "x10", "memory");
}

}  // namespace memtrace::unwind::arch

#endif  // MEMTRACE_UNWIND_ARCH_AARCH64_H_
