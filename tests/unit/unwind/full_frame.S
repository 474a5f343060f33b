/* void MemtraceFullFrame(void (*body)(void)): calls body from a frame whose CFA is kept in a
   callee-saved register, so that sp and fp do not suffice to leave it. */
        .text
        .globl  MemtraceFullFrame
        .type   MemtraceFullFrame, %function
MemtraceFullFrame:
        .cfi_startproc
#if defined(__x86_64__)
        push    %rbx
        .cfi_def_cfa_offset 16
        .cfi_offset %rbx, -16
        mov     %rsp, %rbx
        .cfi_def_cfa_register %rbx
        sub     $128, %rsp
        and     $-64, %rsp
        call    *%rdi
        mov     %rbx, %rsp
        .cfi_def_cfa_register %rsp
        pop     %rbx
        .cfi_def_cfa_offset 8
        ret
#elif defined(__aarch64__)
        stp     x19, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset x19, -16
        .cfi_offset x30, -8
        mov     x19, sp
        .cfi_def_cfa_register x19
        sub     sp, sp, #128
        blr     x0
        mov     sp, x19
        .cfi_def_cfa_register sp
        ldp     x19, x30, [sp], #16
        .cfi_def_cfa_offset 0
        ret
#endif
        .cfi_endproc
        .size   MemtraceFullFrame, . - MemtraceFullFrame
        .section .note.GNU-stack, "", %progbits
