/* The functions behind the hooks: what the program would have called without this library.
 *
 *     NEXT(read)                          declares the slot, once per hooked function
 *     return CALL_NEXT(read)(fd, to, n);  calls it
 *
 * All slots are one section of the library, so that they are looked up together, before the first
 * call: a signal handler must not be the first to ask the dynamic linker.
 */
#ifndef HOSTMETER_INTERCEPT_NEXT_H
#define HOSTMETER_INTERCEPT_NEXT_H

#include <stdatomic.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))

struct next {
    const char *name;
    void *_Atomic function;
};

#define NEXT(function_name)                                                                        \
    static struct next next_##function_name __attribute__((section("hostmeter_next"), used)) = {   \
        #function_name, NULL};

#define CALL_NEXT(function_name) ((__typeof__(&function_name))next_function(&next_##function_name))

/* Look all of them up, unless that was done. */
void next_resolve(void);

static inline void *next_function(struct next *next)
{
    void *function = atomic_load_explicit(&next->function, memory_order_relaxed);
    if (__builtin_expect(function == NULL, 0)) {
        next_resolve();
        function = atomic_load_explicit(&next->function, memory_order_relaxed);
    }
    return function;
}

#endif
