#define _GNU_SOURCE
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_DIRECTORY "/run/hostmeter/intercept"
#define DIRECTORY_BYTES 200
#define PATH_BYTES (DIRECTORY_BYTES + 64)
/* A program that changes its user and then executes another cannot open its former page. */
#define PAGES_PER_PROCESS_MAX 4
#define START_FIELD 22

static char directory[DIRECTORY_BYTES];

bool page_choose_directory(void)
{
    if (directory[0] != '\0')
        return true;
    const char *chosen = secure_getenv("HOSTMETER_INTERCEPT_DIR");
    if (chosen == NULL || chosen[0] == '\0')
        chosen = DEFAULT_DIRECTORY;
    size_t length = strlen(chosen);
    if (chosen[0] != '/' || length >= sizeof directory)
        return false;
    memcpy(directory, chosen, length + 1);
    return true;
}

/* System calls by number: the library's own functions are hooked, and cancel. */
static int open_file(const char *path, int flags, int mode)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

static size_t read_file(const char *path, char *buffer, size_t size)
{
    int fd = open_file(path, O_RDONLY, 0);
    if (fd < 0)
        return 0;
    long length = syscall(SYS_read, fd, buffer, size);
    syscall(SYS_close, fd);
    return length > 0 ? (size_t)length : 0;
}

/* Field 22 of /proc/self/stat, counted from behind the name, which may hold anything. */
static uint64_t start_ticks(void)
{
    char stat[1024];
    size_t length = read_file("/proc/self/stat", stat, sizeof stat - 1);
    stat[length] = '\0';
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < START_FIELD; field++)
        at = strchr(at + 1, ' ');
    return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

static char *append(char *at, const char *text)
{
    size_t length = strlen(text);
    memcpy(at, text, length + 1);
    return at + length;
}

static char *append_number(char *at, uint64_t number)
{
    char digits[24];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return append(at, first);
}

/* DIRECTORY/PID-START, and from the second on DIRECTORY/PID-START.N */
static void write_path(char *path, uint64_t pid, uint64_t start, unsigned attempt)
{
    char *at = append(append(path, directory), "/");
    at = append_number(append(append_number(at, pid), "-"), start);
    if (attempt > 0)
        append_number(append(at, "."), attempt);
}

/* Whoever else made the file could shorten it: the next count would be a SIGBUS here. */
static bool is_ours(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == PAGE_BYTES &&
           (status.st_uid == 0 || status.st_uid == (uid_t)syscall(SYS_geteuid));
}

static bool is_continued(int fd, uint64_t pid, uint64_t start)
{
    struct page head;
    if (!is_ours(fd))
        return false;
    if (syscall(SYS_pread64, fd, &head, sizeof head, 0) != (long)sizeof head)
        return false;
    return head.magic == PAGE_MAGIC && head.version == PAGE_VERSION && head.bytes == PAGE_BYTES &&
           head.pid == pid && head.start_ticks == start;
}

/* Written, not only sized: a page whose block was never reserved would be a SIGBUS later. */
static bool write_new(int fd, uint64_t pid, uint64_t start)
{
    struct page page;
    memset(&page, 0, sizeof page);
    page.magic = PAGE_MAGIC;
    page.version = PAGE_VERSION;
    page.bytes = PAGE_BYTES;
    page.pid = (uint32_t)pid;
    page.start_ticks = start;
    return syscall(SYS_pwrite64, fd, &page, sizeof page, 0) == (long)sizeof page;
}

/* A smaller limit would make writing the page a SIGXFSZ. */
static bool may_write_page(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= PAGE_BYTES;
}

static int open_page(uint64_t pid, uint64_t start)
{
    char path[PATH_BYTES];
    for (unsigned attempt = 0; attempt < PAGES_PER_PROCESS_MAX; attempt++) {
        write_path(path, pid, start, attempt);
        int fd = open_file(path, O_RDWR | O_NOFOLLOW, 0);
        if (fd >= 0) {
            if (is_continued(fd, pid, start))
                return fd;
            syscall(SYS_close, fd);
            continue;
        }
        if (errno == EACCES)
            continue;
        if (errno != ENOENT || !may_write_page())
            return -1;
        fd = open_file(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (fd >= 0 && write_new(fd, pid, start))
            return fd;
        if (fd >= 0) {
            syscall(SYS_unlink, path);
            syscall(SYS_close, fd);
        }
        return -1;
    }
    return -1;
}

static void describe(struct page *page)
{
    struct stat status;
    if (fstatat(AT_FDCWD, "/proc/self/ns/pid", &status, 0) == 0)
        page->pid_namespace = status.st_ino;
    page->parent = (uint32_t)syscall(SYS_getppid);
    prctl(PR_GET_NAME, page->name);
    page->cgroup_bytes = (uint32_t)read_file("/proc/self/cgroup", page->cgroup, PAGE_CGROUP_BYTES);
}

struct page *page_map(struct page *place)
{
    uint64_t pid = (uint64_t)syscall(SYS_getpid);
    uint64_t start = start_ticks();
    int fd = start == 0 ? -1 : open_page(pid, start);
    if (fd < 0)
        return NULL;
    int flags = MAP_SHARED | (place != NULL ? MAP_FIXED : 0);
    void *mapped = mmap(place, PAGE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
    syscall(SYS_close, fd);
    if (mapped == MAP_FAILED)
        return NULL;
    describe(mapped);
    return mapped;
}
