#define _GNU_SOURCE
#include "next.h"

#include <dlfcn.h>

/* Made by the linker: the bounds of the section of all slots. */
extern struct next __start_hostmeter_next[];
extern struct next __stop_hostmeter_next[];

void next_resolve(void)
{
    for (struct next *next = __start_hostmeter_next; next < __stop_hostmeter_next; next++) {
        void *function = dlsym(RTLD_NEXT, next->name);
        atomic_store_explicit(&next->function, function, memory_order_relaxed);
    }
}
