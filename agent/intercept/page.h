/* The page that one process shares with the agent: layout and creation.
 *
 * The reader is agent/src/hostmeter_agent/interception/intercept_pages.py; a change of the layout is a new
 * PAGE_VERSION in both. All numbers are in the machine's own byte order.
 */
#ifndef HOSTMETER_INTERCEPT_PAGE_H
#define HOSTMETER_INTERCEPT_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGE_MAGIC UINT64_C(0x3130504349544d48) /* "HMTICP01" */
#define PAGE_VERSION 1
#define PAGE_BYTES 4096
#define PAGE_NAME_BYTES 16
#define PAGE_CGROUP_BYTES 1024

/* The rows of the page. NETWORK is a socket of IPv4 or IPv6, SOCKET any other. */
enum kind { KIND_FILE, KIND_SOCKET, KIND_PIPE, KIND_DEVICE, KIND_OTHER, KIND_NETWORK, KINDS };

/* One cache line. Everything but `open` only grows; bytes are those of successful calls. */
struct row {
    _Atomic uint64_t opened;     /* resources opened; a copy of a descriptor is none */
    _Atomic uint64_t duplicated; /* dup, dup2, dup3, F_DUPFD */
    _Atomic uint64_t closed;     /* descriptors, copies too */
    _Atomic int64_t open;        /* descriptors that the library knows */
    _Atomic uint64_t read;
    _Atomic uint64_t written;
    _Atomic uint64_t accepted;
    _Atomic uint64_t connected;
};

/* Set once, never cleared. */
/* Network bytes may have gone uncounted: through stdio, or to resolve the name of a host. */
#define PAGE_FLAG_NETWORK_UNCOUNTED 1u

struct page {
    uint64_t magic;
    uint32_t version;
    uint32_t bytes;
    uint32_t pid;
    uint32_t parent;
    uint64_t start_ticks; /* since boot, field 22 of /proc/PID/stat */
    _Atomic uint32_t flags;
    uint32_t cgroup_bytes;
    char name[PAGE_NAME_BYTES]; /* the kernel's short name, never a command line */
    uint64_t pid_namespace; /* inode of /proc/PID/ns/pid: in which one `pid` is a number */
    char reserved[64];
    struct row rows[KINDS];
    char reserved_for_rows[512];
    char cgroup[PAGE_CGROUP_BYTES]; /* /proc/PID/cgroup */
    char reserved_for_more[2048];
};

_Static_assert(sizeof(struct row) == 64, "a row is one cache line");
_Static_assert(sizeof(struct page) == PAGE_BYTES, "a page is a page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counting takes no lock");

/* Remember where pages are kept; from the environment, before the program can change it.
 * False: nowhere, so that nothing is to be counted. */
bool page_choose_directory(void);

/* Map the page of the calling process at `place`, or anywhere when it is NULL; one left by the
 * program that this one replaced (exec) goes on. NULL, and nothing mapped anew: no page can be
 * had. Takes no lock, allocates nothing, may change errno. */
struct page *page_map(struct page *place);

#endif
