/* The checked forms that programs call when they are built with _FORTIFY_SOURCE. */
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE 2
#define _GNU_SOURCE
#include "calls.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Not known to the compiler, so that the check is made at run time. */
static volatile size_t four = 4, hundred = 100;
static volatile int reading = O_RDONLY;

static void fortified(void)
{
    char small[16];
    int pair[2];
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    SAY(write(3, "0123456789", 10));
    SAY(open("f", reading));
    SAY(open64("f", reading));
    SAY(openat(AT_FDCWD, "f", reading));
    SAY(openat64(AT_FDCWD, "f", reading));
    SAY(read(4, small, four));
    SAY(pread(4, small, four, 8));
    SAY(pread64(4, small, four, 1));
    SAY(read(99, small, four));
    SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SAY(send(pair[0], "01234567", 8, 0));
    SAY(recv(pair[1], small, four, 0));
    SAY(recvfrom(pair[1], small, four, 0, NULL, NULL));
    SAY(close_range(3, 9, 0));
}

static void overflow(void)
{
    char small[16];
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    SAY(open("/dev/zero", O_RDONLY));
    SAY(read(3, small, hundred));
    say_text("still alive\n");
}

const struct test_case fortified_cases[] = {
    {"fortified",
     fortified,
     {.file = {.opened = 5, .closed = 5, .read = 4 + 2 + 4, .written = 10},
      .socket = {.opened = 2, .closed = 2, .read = 8, .written = 8}}},
    {"overflow", overflow, {.device = {.opened = 1, .open = 1}}},
    {0},
};
