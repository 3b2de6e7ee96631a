/* Bytes through files and pipes. */
#define _GNU_SOURCE
#include "calls.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#define LARGE (3 << 20)

static char bytes[LARGE];

static void say_bytes(const char *text, long length)
{
    char copy[64] = "";
    memcpy(copy, text, (size_t)(length > 63 ? 63 : length));
    say_text(copy);
    say_text("\n");
}

/* Written: 3 + 4 + 4 + 5 + 5 + 5 + 5 + 5 + 5 = 41. */
static void writes(void)
{
    struct iovec parts[2] = {{"ab", 2}, {"cde", 3}};
    SAY(open("w", O_RDWR | O_CREAT, 0600));
    SAY(write(3, "xyz", 3));
    SAY(pwrite(3, "1234", 4, 1));
    SAY(pwrite64(3, "5678", 4, 10));
    SAY(writev(3, parts, 2));
    SAY(pwritev(3, parts, 2, 20));
    SAY(pwritev64(3, parts, 2, 30));
    SAY(pwritev2(3, parts, 2, 40, 0));
    SAY(pwritev64v2(3, parts, 2, 50, 0));
    SAY(pwritev2(3, parts, 2, -1, 0));
    SAY(write(3, "", 0));
    SAY(lseek(3, 0, SEEK_CUR));
    say_bytes(bytes, pread(3, bytes, sizeof bytes, 0));
    SAY(close(3));
}

static void write_errors(void)
{
    struct iovec bad = {(void *)8, 4};
    SAY(open("w", O_RDWR | O_CREAT, 0600));
    SAY(open("w", O_RDONLY));
    SAY(write(4, "a", 1));
    SAY(write(99, "a", 1));
    SAY(write(3, (const void *)8, 4));
    SAY(pwrite(3, "a", 1, -1));
    SAY(writev(3, &bad, 1));
    SAY(writev(3, &bad, -1));
    SAY(pwritev(99, &bad, 1, 0));
    SAY(pwritev2(3, &bad, 1, 0, -1));
    SAY(close(3));
    SAY(write(3, "a", 1));
    SAY(close(4));
}

/* Read: 4 + 6 + 0 + 3 + 3 + 5 + 5 + 5 + 5 + 5 = 41. */
static void reads(void)
{
    char first[2], second[3];
    struct iovec parts[2] = {{first, 2}, {second, 3}};
    SAY(open("r", O_RDWR | O_CREAT, 0600));
    SAY(write(3, "0123456789", 10));
    SAY(lseek(3, 0, SEEK_SET));
    SAY(read(3, bytes, 4));
    SAY(read(3, bytes, 100));
    SAY(read(3, bytes, 100));
    SAY(pread(3, bytes, 100, 7));
    SAY(pread64(3, bytes, 3, 0));
    SAY(lseek(3, 0, SEEK_SET));
    SAY(readv(3, parts, 2));
    SAY(preadv(3, parts, 2, 1));
    SAY(preadv64(3, parts, 2, 2));
    SAY(preadv2(3, parts, 2, 3, 0));
    SAY(preadv64v2(3, parts, 2, 4, 0));
    SAY(preadv(3, parts, 2, 100));
    say_bytes(first, 2);
    say_bytes(second, 3);
    SAY(close(3));
}

static void read_errors(void)
{
    struct iovec bad = {(void *)8, 4};
    SAY(read(99, bytes, 1));
    SAY(open(".", O_RDONLY));
    SAY(read(3, bytes, 1));
    SAY(open("r", O_RDWR | O_CREAT, 0600));
    SAY(write(4, "abcd", 4));
    SAY(pread(4, (void *)8, 4, 0));
    SAY(pread(4, bytes, 4, -5));
    SAY(readv(4, &bad, -1));
    SAY(preadv(4, &bad, 1, 0));
    SAY(preadv2(4, &bad, 1, 0, -1));
    SAY(open("r", O_WRONLY));
    SAY(read(5, bytes, 1));
    SAY(close(3) + close(4) + close(5));
    SAY(read(4, bytes, 1));
}

static void large_counts(void)
{
    int pair[2];
    SAY(open("large", O_RDWR | O_CREAT, 0600));
    SAY(write(3, bytes, LARGE));
    SAY(lseek(3, 0, SEEK_SET));
    SAY(read(3, bytes, LARGE));
    SAY(pread(3, bytes, LARGE, LARGE - 7));
    SAY(pipe2(pair, O_NONBLOCK));
    SAY(write(5, bytes, LARGE)); /* as much as fits: 65536 */
    SAY(write(5, bytes, 1));
    SAY(read(4, bytes, LARGE));
    SAY(read(4, bytes, 1));
    SAY(close(3) + close(4) + close(5));
}

static void moves(void)
{
    int pair[2];
    off_t at = 2;
    SAY(open("from", O_RDWR | O_CREAT, 0600));
    SAY(write(3, "0123456789", 10));
    SAY(open("to", O_RDWR | O_CREAT, 0600));
    SAY(pipe2(pair, O_NONBLOCK));
    SAY(sendfile(4, 3, &at, 5));
    say("at", at);
    SAY(sendfile64(4, 3, NULL, 5));
    SAY(copy_file_range(3, &at, 4, NULL, 100, 0));
    at = 1;
    SAY(splice(3, &at, 6, NULL, 4, 0));
    SAY(splice(5, NULL, 4, NULL, 2, 0));
    int other[2];
    SAY(pipe(other));
    SAY(tee(5, 8, 100, 0));
    SAY(vmsplice(6, &(struct iovec){"abc", 3}, 1, 0));
    SAY(vmsplice(5, &(struct iovec){bytes, 4}, 1, 0));
    SAY(sendfile(99, 3, NULL, 1) + sendfile64(4, 99, NULL, 1));
    SAY(splice(3, NULL, 4, NULL, 1, 0));
    SAY(splice(5, NULL, 99, NULL, 1, 0));
    SAY(tee(3, 4, 1, 0));
    SAY(vmsplice(3, &(struct iovec){bytes, 4}, 1, 0));
    SAY(copy_file_range(3, NULL, 5, NULL, 1, 0));
    SAY(tee(99, 6, 1, 0));
    SAY(read(5, bytes, 100));
    SAY(splice(5, NULL, 4, NULL, 1, SPLICE_F_NONBLOCK));
    SAY(close_range(3, 8, 0));
}

static void note_signal(int number)
{
    (void)number;
    say_text("signal\n");
}

static void broken_pipe(void)
{
    int pair[2];
    signal(SIGPIPE, note_signal);
    SAY(pipe(pair));
    SAY(close(pair[0]));
    SAY(write(pair[1], "a", 1));
    SAY(writev(pair[1], &(struct iovec){"a", 1}, 1));
    SAY(close(pair[1]));
}

static void death_by_pipe(void)
{
    int pair[2];
    SAY(pipe(pair));
    SAY(close(pair[0]));
    SAY(write(pair[1], "a", 1));
    say_text("still alive\n");
}

static void ignore_signal(int number)
{
    (void)number;
}

/* The timer fires again and again, so that one that fires before the call begins does no harm. */
static void interrupted(void)
{
    int pair[2];
    struct sigaction action = {.sa_handler = ignore_signal};
    struct itimerval timer = {{0, 5000}, {0, 5000}};
    sigaction(SIGALRM, &action, NULL);
    SAY(pipe(pair));
    setitimer(ITIMER_REAL, &timer, NULL);
    SAY(read(pair[0], bytes, 1));
    SAY(readv(pair[0], &(struct iovec){bytes, 1}, 1));
    SAY(write(pair[1], bytes, 1 << 20)); /* 65536 fit */
    SAY(open("absent", O_RDONLY));
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    SAY(close(pair[0]) + close(pair[1]));
}

const struct test_case byte_cases[] = {
    {"writes", writes, {.file = {.opened = 1, .closed = 1, .read = 55, .written = 41}}},
    {"write_errors", write_errors, {.file = {.opened = 2, .closed = 2}}},
    {"reads", reads, {.file = {.opened = 1, .closed = 1, .read = 41, .written = 10}}},
    {"read_errors", read_errors, {.file = {.opened = 3, .closed = 3, .written = 4}}},
    {"large_counts",
     large_counts,
     {.file = {.opened = 1, .closed = 1, .read = LARGE + 7, .written = LARGE},
      .pipe = {.opened = 2, .closed = 2, .read = 65536, .written = 65536}}},
    {"moves",
     moves,
     {.file = {.opened = 2, .closed = 2, .read = 5 + 3 + 4, .written = 10 + 5 + 3 + 2},
      .pipe = {.opened = 4, .closed = 4, .read = 2 + 4 + 1, .written = 4 + 2 + 3}}},
    {"broken_pipe", broken_pipe, {.pipe = {.opened = 2, .closed = 2}}},
    {"death_by_pipe", death_by_pipe, {.pipe = {.opened = 2, .closed = 1, .open = 1}}},
    {"interrupted",
     interrupted,
     {.pipe = {.opened = 2, .closed = 2, .written = 65536}}},
    {0},
};
