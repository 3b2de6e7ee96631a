#define _GNU_SOURCE
#include "descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Higher numbers are asked of the kernel each time. */
#define DESCRIPTORS_MAX 65536

/* 0: unknown; else 1 + enum kind. */
static _Atomic uint8_t kinds[DESCRIPTORS_MAX];
static _Atomic unsigned used; /* no entry from here on was ever set */

static enum kind kind_of_socket(int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0)
        return KIND_SOCKET;
    return domain == AF_INET || domain == AF_INET6 ? KIND_NETWORK : KIND_SOCKET;
}

static enum kind kind_of_mode(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
        return KIND_FILE;
    case S_IFIFO:
        return KIND_PIPE;
    case S_IFCHR:
    case S_IFBLK:
        return KIND_DEVICE;
    default:
        return KIND_OTHER;
    }
}

enum kind descriptor_ask(int fd)
{
    int saved_errno = errno;
    enum kind kind = KINDS;
    struct stat status;
    if (fstat(fd, &status) == 0)
        kind = S_ISSOCK(status.st_mode) ? kind_of_socket(fd) : kind_of_mode(status.st_mode);
    errno = saved_errno;
    return kind;
}

static bool is_in_table(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS_MAX;
}

static void add_open(struct page *page, enum kind kind, int64_t change)
{
    atomic_fetch_add_explicit(&page->rows[kind].open, change, memory_order_relaxed);
}

static void raise_used(unsigned to)
{
    unsigned now = atomic_load_explicit(&used, memory_order_relaxed);
    while (now < to && !atomic_compare_exchange_weak(&used, &now, to))
        ;
}

void descriptor_remember(struct page *page, int fd, enum kind kind)
{
    if (!is_in_table(fd))
        return;
    raise_used((unsigned)fd + 1);
    uint8_t former = atomic_exchange(&kinds[fd], (uint8_t)(1 + kind));
    if (former != 0)
        add_open(page, (enum kind)(former - 1), -1);
    add_open(page, kind, 1);
}

/* Only if nobody else, such as the thread that opened it, was first. */
static void discover(struct page *page, int fd, enum kind kind)
{
    raise_used((unsigned)fd + 1);
    uint8_t unknown = 0;
    if (atomic_compare_exchange_strong(&kinds[fd], &unknown, (uint8_t)(1 + kind)))
        add_open(page, kind, 1);
}

enum kind descriptor_kind(struct page *page, int fd)
{
    if (!is_in_table(fd))
        return descriptor_ask(fd);
    uint8_t known = atomic_load_explicit(&kinds[fd], memory_order_relaxed);
    if (known != 0)
        return (enum kind)(known - 1);
    enum kind kind = descriptor_ask(fd);
    if (kind != KINDS)
        discover(page, fd, kind);
    return kind;
}

enum kind descriptor_forget(struct page *page, int fd)
{
    if (!is_in_table(fd))
        return KINDS;
    uint8_t former = atomic_exchange(&kinds[fd], 0);
    if (former == 0)
        return KINDS;
    add_open(page, (enum kind)(former - 1), -1);
    return (enum kind)(former - 1);
}

void descriptor_forget_range(struct page *page, unsigned first, unsigned last,
                             unsigned forgotten[KINDS])
{
    unsigned end = atomic_load_explicit(&used, memory_order_relaxed);
    for (unsigned fd = first; fd < end && fd <= last; fd++) {
        enum kind kind = descriptor_forget(page, (int)fd);
        if (kind != KINDS)
            forgotten[kind]++;
    }
}

static void clear_open(struct page *page)
{
    for (int kind = 0; kind < KINDS; kind++)
        atomic_store_explicit(&page->rows[kind].open, 0, memory_order_relaxed);
}

static void list_entry(struct page *page, const struct dirent64 *entry, int listing)
{
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
        return;
    int fd = atoi(entry->d_name);
    if (fd != listing)
        descriptor_kind(page, fd);
}

void descriptors_list(struct page *page)
{
    _Alignas(struct dirent64) char entries[2048];
    clear_open(page);
    int listing = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd",
                               O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (listing < 0)
        return;
    long length;
    while ((length = syscall(SYS_getdents64, listing, entries, sizeof entries)) > 0) {
        for (long at = 0; at < length;) {
            const struct dirent64 *entry = (const struct dirent64 *)(void *)(entries + at);
            list_entry(page, entry, listing);
            at += entry->d_reclen;
        }
    }
    syscall(SYS_close, listing);
}

void descriptors_adopt(struct page *page)
{
    unsigned end = atomic_load_explicit(&used, memory_order_relaxed);
    clear_open(page);
    for (unsigned fd = 0; fd < end; fd++) {
        uint8_t known = atomic_load_explicit(&kinds[fd], memory_order_relaxed);
        if (known != 0)
            add_open(page, (enum kind)(known - 1), 1);
    }
}
