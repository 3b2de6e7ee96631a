/* Counting into the page of the calling process. Nothing here takes a lock, allocates memory or
 * changes errno; all of it may be called from a signal handler and from any thread. */
#ifndef HOSTMETER_INTERCEPT_COUNTING_H
#define HOSTMETER_INTERCEPT_COUNTING_H

#include "page.h"

#include <stdbool.h>
#include <sys/types.h>

/* A call returned the new descriptor `fd` (or -1) of a resource of this kind. */
void count_opened(int fd, enum kind kind);

/* The same, the kind to be asked of the kernel. */
void count_opened_unknown(int fd);

/* `fd` (or -1) is an accepted connection of `listener`. */
void count_accepted(int fd, int listener);

/* `copy` (or -1) is a new descriptor of what `fd` is. */
void count_duplicated(int fd, int copy);

/* A connection was made or is under way. */
void count_connected(int fd);

/* The kind of a descriptor that dup2 may replace; KINDS: it is not open, or nothing is counted. */
enum kind kind_to_replace(int fd);

/* The kind of a descriptor that is about to be closed, and forget it: afterwards another thread
 * may get the same number. KINDS: it is not open, or nothing is counted. */
enum kind forget_closing(int fd);

/* It was closed. */
void count_closed(enum kind kind);

/* All known descriptors from `first` to `last` were closed. */
void count_closed_range(unsigned first, unsigned last);

/* `transferred` bytes, as the call returned them; 0 and less are none. */
void count_read(int fd, ssize_t transferred);
void count_written(int fd, ssize_t transferred);

/* stdio, which is not seen, reads or writes `fd` from now on. */
void note_stdio(int fd);

/* From now on network bytes may be missing. */
void note_network_uncounted(void);

#endif
