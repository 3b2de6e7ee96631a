/* Descriptors: opened, copied, made, closed. */
#define _GNU_SOURCE
#include "calls.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void say_mode(int fd)
{
    struct stat status;
    fstat(fd, &status);
    say("mode", status.st_mode);
}

static void close_all(int first, int last)
{
    for (int fd = first; fd <= last; fd++)
        SAY(close(fd));
}

static void opens(void)
{
    umask(022);
    say_mode((int)SAY(open("a", O_WRONLY | O_CREAT | O_EXCL, 0640)));
    say_mode((int)SAY(open64("b", O_RDWR | O_CREAT, 0600)));
    say_mode((int)SAY(openat(AT_FDCWD, "c", O_RDWR | O_CREAT, 0644)));
    say_mode((int)SAY(openat64(AT_FDCWD, "a", O_RDONLY)));
    say_mode((int)SAY(creat("d", 0604)));
    say_mode((int)SAY(creat64("e", 0606)));
    say_mode((int)SAY(open(".", O_RDWR | O_TMPFILE, 0611)));
    SAY(open(".", O_RDONLY | O_DIRECTORY));
    SAY(open("a", O_PATH));
    close_all(3, 11);
}

static void open_errors(void)
{
    SAY(open("absent", O_RDONLY));
    SAY(open64("absent/none", O_RDONLY));
    SAY(openat(99, "absent", O_RDONLY));
    SAY(openat64(AT_FDCWD, "", O_RDONLY));
    SAY(creat("/", 0600));
    SAY(creat64("absent/none", 0600));
    SAY(open((const char *)8, O_RDONLY));
    SAY(open(".", O_WRONLY));
    SAY(close(-1));
    SAY(close(3));
    SAY(close(70000));
}

static void open_devices(void)
{
    SAY(open("/dev/null", O_RDWR));
    SAY(open("/dev/zero", O_RDONLY));
    SAY(mkfifo("fifo", 0600));
    SAY(open("fifo", O_RDWR));
    close_all(3, 5);
}

static void too_many_open(void)
{
    struct rlimit limit = {4, 4};
    setrlimit(RLIMIT_NOFILE, &limit);
    SAY(open("/dev/null", O_RDWR));
    SAY(open("/dev/null", O_RDWR));
    SAY(dup(0));
    SAY(dup2(0, 4));
    SAY(socket(AF_INET, SOCK_STREAM, 0));
    int pair[2] = {-1, -1};
    SAY(pipe(pair));
    SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SAY(epoll_create1(0));
    say("pair", pair[0] + pair[1]);
}

static void copies(void)
{
    SAY(open(".", O_RDONLY));
    SAY(dup(3));
    SAY(dup2(3, 3));
    SAY(dup2(3, 10));
    SAY(dup2(0, 10));
    SAY(dup3(3, 11, O_CLOEXEC));
    SAY(fcntl(3, F_DUPFD, 20));
    SAY(fcntl(3, F_DUPFD_CLOEXEC, 20));
    SAY(fcntl64(3, F_DUPFD, 20));
    SAY(dup(99));
    SAY(dup2(99, 3));
    SAY(dup2(3, -1));
    SAY(dup3(3, 3, 0));
    SAY(dup3(99, 4, 0));
    SAY(fcntl(99, F_DUPFD, 0));
    SAY(fcntl(3, F_DUPFD, -1));
    close_all(3, 4);
    close_all(10, 11);
    close_all(20, 22);
    close_all(3, 3);
}

static void controls(void)
{
    SAY(open("locked", O_RDWR | O_CREAT, 0600));
    SAY(fcntl(3, F_GETFD));
    SAY(fcntl(3, F_SETFD, FD_CLOEXEC));
    SAY(fcntl(3, F_GETFD));
    SAY(fcntl(3, F_GETFL));
    SAY(fcntl(3, F_SETFL, O_APPEND));
    SAY(fcntl64(3, F_GETFL));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    SAY(fcntl(3, F_SETLK, &lock));
    SAY(fcntl64(3, F_GETLK, &lock));
    say("lock", lock.l_type);
    SAY(fcntl(3, 12345));
    SAY(close(3));
}

static void pipes(void)
{
    int pair[2] = {0, 0};
    SAY(pipe(pair));
    say("pair", pair[0] * 100 + pair[1]);
    SAY(pipe2(pair, O_NONBLOCK | O_CLOEXEC));
    say("pair", pair[0] * 100 + pair[1]);
    SAY(pipe2(pair, 1));
    SAY(pipe((int *)8));
    close_all(3, 6);
}

static void made_descriptors(void)
{
    sigset_t none;
    sigemptyset(&none);
    SAY(epoll_create(1));
    SAY(epoll_create1(EPOLL_CLOEXEC));
    SAY(eventfd(0, 0));
    int made = (int)SAY(signalfd(-1, &none, 0));
    SAY(signalfd(made, &none, 0));
    SAY(timerfd_create(CLOCK_MONOTONIC, 0));
    SAY(inotify_init());
    SAY(inotify_init1(IN_CLOEXEC));
    SAY(memfd_create("memory", 0));
    SAY(epoll_create(0));
    SAY(epoll_create1(-1));
    SAY(eventfd(0, -1));
    SAY(signalfd(99, &none, 0));
    SAY(timerfd_create(-1, 0));
    SAY(inotify_init1(-1));
    SAY(memfd_create("memory", 0x800));
    SAY(fanotify_init(0xffffffff, 0));
    close_all(3, 10);
}

static void named_by_the_library(void)
{
    char name[8][16] = {"aXXXXXX",   "bXXXXXX",   "cXXXXXX",   "dXXXXXX",
                        "eXXXXXX.c", "fXXXXXX.c", "gXXXXXX.c", "hXXXXXX.c"};
    SAY(mkstemp(name[0]));
    SAY(mkstemp64(name[1]));
    SAY(mkostemp(name[2], O_APPEND));
    SAY(mkostemp64(name[3], O_APPEND));
    SAY(mkstemps(name[4], 2));
    SAY(mkstemps64(name[5], 2));
    SAY(mkostemps(name[6], 2, O_APPEND));
    SAY(mkostemps64(name[7], 2, O_APPEND));
    SAY(mkstemp(name[0]));
    close_all(3, 10);
    char shared[64];
    snprintf(shared, sizeof shared, "/hostmeter-test-%ld", (long)getpid());
    SAY(shm_open(shared, O_RDWR | O_CREAT, 0600));
    SAY(shm_unlink(shared));
    SAY(shm_open(shared, O_RDWR, 0));
    SAY(close(3));
}

static void queues(void)
{
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 16};
    char name[64];
    snprintf(name, sizeof name, "/hostmeter-test-%ld", (long)getpid());
    SAY(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
    SAY(mq_open(name, O_RDONLY));
    SAY(mq_unlink(name));
    SAY(mq_open(name, O_RDONLY));
    SAY(mq_close(3));
    SAY(mq_close(3));
    SAY(close(4));
}

static void watches(void)
{
    SAY(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY));
    SAY(close(3));
}

static void terminals(void)
{
    SAY(posix_openpt(O_RDWR | O_NOCTTY));
    SAY(close(3));
    int primary = -1, secondary = -1;
    SAY(openpty(&primary, &secondary, NULL, NULL, NULL));
    say("pair", primary * 100 + secondary);
    close_all(3, 4);
}

static void close_ranges(void)
{
    for (int i = 0; i < 6; i++)
        dup(0);
    SAY(close_range(5, 6, 0));
    SAY(close_range(3, 4, CLOSE_RANGE_CLOEXEC));
    SAY(close_range(9, 8, 0));
    SAY(close_range(100, 200, 0));
    SAY(close(5));
    closefrom(4);
    SAY(close(7));
    SAY(close(3));
}

const struct test_case file_cases[] = {
    {"opens", opens, {.file = {.opened = 9, .closed = 9}}},
    {"open_errors", open_errors, {}},
    {"open_devices",
     open_devices,
     {.device = {.opened = 2, .closed = 2}, .pipe = {.opened = 1, .closed = 1}}},
    {"too_many_open", too_many_open, {.device = {.opened = 1, .open = 1}}},
    {"copies",
     copies,
     {.file = {.opened = 1, .duplicated = 6, .closed = 7},
      .device = {.duplicated = 1, .closed = 1}}},
    {"controls", controls, {.file = {.opened = 1, .closed = 1}}},
    {"pipes", pipes, {.pipe = {.opened = 4, .closed = 4}}},
    {"made_descriptors",
     made_descriptors,
     {.other = {.opened = 7, .closed = 7}, .file = {.opened = 1, .closed = 1}}},
    {"named_by_the_library", named_by_the_library, {.file = {.opened = 9, .closed = 9}}},
    {"queues", queues, {.file = {.opened = 2, .closed = 2}}},
    {"watches", watches, {.other = {.opened = 1, .closed = 1}}},
    {"terminals", terminals, {.device = {.opened = 3, .closed = 3}}},
    {"close_ranges", close_ranges, {.device = {.duplicated = 6, .closed = 6}}},
    {0},
};
