/* Whether a child may be running in this process's memory. */
#ifndef HOSTMETER_INTERCEPT_LENDING_H
#define HOSTMETER_INTERCEPT_LENDING_H

#include <stdatomic.h>
#include <stdbool.h>

/* Machines for which there is a hook of vfork; on others each open and close asks. */
#if defined(__x86_64__) || defined(__aarch64__)
#define LENDING_IS_SEEN 1
/* vfork was called, in this process or before it was forked. */
extern _Atomic bool memory_was_lent;
#endif

static inline bool may_be_lent(void)
{
#ifdef LENDING_IS_SEEN
    return atomic_load_explicit(&memory_was_lent, memory_order_relaxed);
#else
    return true;
#endif
}

#endif
