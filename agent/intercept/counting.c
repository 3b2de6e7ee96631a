#define _GNU_SOURCE
#include "counting.h"

#include "descriptors.h"
#include "lending.h"
#include "next.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The largest page of memory that any supported machine has. */
#define GRANULE 65536
#define KERNEL_SIGSET_BYTES 8

enum stage { STAGE_NEW, STAGE_STARTING, STAGE_COUNTING, STAGE_OFF };

/* What holds for this process and not for its children: the kernel fills it with zeros in a child
 * that got a copy of the memory (fork), and leaves it alone in one that shares it (vfork). */
static _Alignas(GRANULE) struct {
    _Atomic uint32_t stage;
    pid_t pid;
    char rest[GRANULE - 8];
} own;

/* The process's page; a child maps its own over its parent's, at the same address, so that a hook
 * that was interrupted by a fork still adds to a page. */
static struct page *place;

static bool may_count(void)
{
    return page_choose_directory() && madvise(&own, sizeof own, MADV_WIPEONFORK) == 0;
}

static enum stage start(void)
{
    next_resolve();
    struct page *page = may_count() ? page_map(place) : NULL;
    if (page == NULL)
        return STAGE_OFF;
    if (place == NULL)
        descriptors_list(page);
    else
        descriptors_adopt(page);
    place = page;
    own.pid = (pid_t)syscall(SYS_getpid);
    return STAGE_COUNTING;
}

/* The first call in a process. No signal handler may interrupt the one thread that starts, since
 * it would wait for itself; another thread waits for the little that is left. */
static void start_once(void)
{
    int saved_errno = errno;
    sigset_t all, former;
    sigfillset(&all);
    memset(&all, 0xff, KERNEL_SIGSET_BYTES); /* those too that the C library keeps for itself */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &former, KERNEL_SIGSET_BYTES);
    uint32_t expected = STAGE_NEW;
    if (atomic_compare_exchange_strong(&own.stage, &expected, STAGE_STARTING))
        atomic_store_explicit(&own.stage, start(), memory_order_release);
    while (atomic_load_explicit(&own.stage, memory_order_acquire) == STAGE_STARTING)
        syscall(SYS_sched_yield);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &former, NULL, KERNEL_SIGSET_BYTES);
    errno = saved_errno;
}

/* The page to count in, or NULL. */
static inline struct page *current(void)
{
    uint32_t stage = atomic_load_explicit(&own.stage, memory_order_acquire);
    if (__builtin_expect(stage == STAGE_NEW || stage == STAGE_STARTING, 0)) {
        start_once();
        stage = atomic_load_explicit(&own.stage, memory_order_acquire);
    }
    return stage == STAGE_COUNTING ? place : NULL;
}

/* False in a child that borrows this memory until it executes another program: its descriptors
 * are its own, and the table is its parent's. */
static bool owns_table(void)
{
    return !may_be_lent() || syscall(SYS_getpid) == own.pid;
}

static void start_in_child(void)
{
    current();
}

__attribute__((constructor)) static void load(void)
{
    current();
    pthread_atfork(NULL, NULL, start_in_child);
}

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

void count_opened(int fd, enum kind kind)
{
    struct page *page = fd >= 0 && kind != KINDS ? current() : NULL;
    if (page == NULL)
        return;
    add(&page->rows[kind].opened, 1);
    if (owns_table())
        descriptor_remember(page, fd, kind);
}

void count_opened_unknown(int fd)
{
    if (fd >= 0 && current() != NULL)
        count_opened(fd, descriptor_ask(fd));
}

void count_accepted(int fd, int listener)
{
    struct page *page = fd >= 0 ? current() : NULL;
    if (page == NULL)
        return;
    enum kind kind = descriptor_kind(page, listener);
    if (kind == KINDS)
        return;
    add(&page->rows[kind].accepted, 1);
    count_opened(fd, kind);
}

void count_duplicated(int fd, int copy)
{
    struct page *page = copy >= 0 && copy != fd ? current() : NULL;
    if (page == NULL || !owns_table())
        return;
    enum kind kind = descriptor_kind(page, fd);
    if (kind == KINDS)
        return;
    add(&page->rows[kind].duplicated, 1);
    descriptor_remember(page, copy, kind);
}

void count_connected(int fd)
{
    struct page *page = current();
    enum kind kind = page != NULL ? descriptor_kind(page, fd) : KINDS;
    if (kind != KINDS)
        add(&page->rows[kind].connected, 1);
}

enum kind kind_to_replace(int fd)
{
    struct page *page = current();
    return page != NULL && owns_table() ? descriptor_kind(page, fd) : KINDS;
}

enum kind forget_closing(int fd)
{
    struct page *page = current();
    if (page == NULL || !owns_table())
        return KINDS;
    enum kind kind = descriptor_forget(page, fd);
    return kind != KINDS ? kind : descriptor_ask(fd);
}

void count_closed(enum kind kind)
{
    struct page *page = kind != KINDS ? current() : NULL;
    if (page != NULL)
        add(&page->rows[kind].closed, 1);
}

void count_closed_range(unsigned first, unsigned last)
{
    struct page *page = current();
    if (page == NULL || !owns_table())
        return;
    unsigned closed[KINDS] = {0};
    descriptor_forget_range(page, first, last, closed);
    for (int kind = 0; kind < KINDS; kind++)
        add(&page->rows[kind].closed, closed[kind]);
}

void count_read(int fd, ssize_t transferred)
{
    struct page *page = transferred > 0 ? current() : NULL;
    enum kind kind = page != NULL ? descriptor_kind(page, fd) : KINDS;
    if (kind != KINDS)
        add(&page->rows[kind].read, (uint64_t)transferred);
}

void count_written(int fd, ssize_t transferred)
{
    struct page *page = transferred > 0 ? current() : NULL;
    enum kind kind = page != NULL ? descriptor_kind(page, fd) : KINDS;
    if (kind != KINDS)
        add(&page->rows[kind].written, (uint64_t)transferred);
}

void note_network_uncounted(void)
{
    struct page *page = current();
    if (page != NULL)
        atomic_fetch_or_explicit(&page->flags, PAGE_FLAG_NETWORK_UNCOUNTED, memory_order_relaxed);
}

void note_stdio(int fd)
{
    struct page *page = current();
    if (page != NULL && descriptor_kind(page, fd) == KIND_NETWORK)
        note_network_uncounted();
}
