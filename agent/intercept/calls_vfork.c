/* vfork: the child runs in this process's memory until it executes another program, and what it
 * does to its descriptors must not be taken for ours. That this has happened is only noted: a
 * process that never calls vfork is spared asking who it is, at each open and close. */
#define _GNU_SOURCE
#include "lending.h"
#include "next.h"

#include <unistd.h>

#ifdef LENDING_IS_SEEN

_Atomic bool memory_was_lent;

NEXT(vfork)

__attribute__((visibility("hidden"), used)) void *lend_memory(void)
{
    atomic_store_explicit(&memory_was_lent, true, memory_order_relaxed);
    return next_function(&next_vfork);
}

/* It returns twice, so there must be nothing of ours on the stack when it begins. */
#ifdef __x86_64__
__asm__(".text\n"
        ".globl vfork\n"
        ".type vfork, @function\n"
        "vfork:\n"
        ".cfi_startproc\n"
        "    endbr64\n"
        "    subq $8, %rsp\n"
        ".cfi_adjust_cfa_offset 8\n"
        "    call lend_memory\n"
        "    addq $8, %rsp\n"
        ".cfi_adjust_cfa_offset -8\n"
        "    jmp *%rax\n"
        ".cfi_endproc\n"
        ".size vfork, . - vfork\n");
#else
__asm__(".text\n"
        ".globl vfork\n"
        ".type vfork, %function\n"
        "vfork:\n"
        "    hint #34\n"
        "    stp x29, x30, [sp, #-16]!\n"
        "    bl lend_memory\n"
        "    mov x16, x0\n"
        "    ldp x29, x30, [sp], #16\n"
        "    br x16\n"
        ".size vfork, . - vfork\n");
#endif

#endif
