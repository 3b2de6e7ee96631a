#define _GNU_SOURCE
#include "next.h"

#include <dlfcn.h>
#include <stdbool.h>

/* Made by the linker: the bounds of the section of all slots. */
extern struct next __start_hostmeter_next[];
extern struct next __stop_hostmeter_next[];

static _Atomic bool resolved; /* a child has its parent's slots */

void next_resolve(void)
{
    if (atomic_load_explicit(&resolved, memory_order_acquire))
        return;
    for (struct next *next = __start_hostmeter_next; next < __stop_hostmeter_next; next++) {
        void *function = dlsym(RTLD_NEXT, next->name);
        atomic_store_explicit(&next->function, function, memory_order_relaxed);
    }
    atomic_store_explicit(&resolved, true, memory_order_release);
}
