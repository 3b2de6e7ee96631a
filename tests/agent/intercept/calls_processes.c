/* What becomes of counting when processes are made and programs replaced. What is expected is
 * the sum over all pages of the case; `open` that of the first process. */
#define _GNU_SOURCE
#include "calls.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void say_end(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    say("status", status);
}

static void write_and_close(int fd, const char *from, size_t length)
{
    SAY(write(fd, from, length));
    SAY(close(fd));
}

static void forks(void)
{
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    pid_t child = fork();
    if (child == 0) {
        write_and_close(3, "abc", 3);
        SAY(open("f", O_RDONLY));
        _exit(7);
    }
    say_end(child);
    write_and_close(3, "12", 2);
}

/* Neither runs what fork would run in the child. */
static void bare_forks(void)
{
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    pid_t child = _Fork();
    if (child == 0) {
        write_and_close(3, "abc", 3);
        _exit(7);
    }
    say_end(child);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        write_and_close(3, "abcd", 4);
        _exit(8);
    }
    say_end(child);
    write_and_close(3, "12", 2);
}

static void fork_chain(void)
{
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    for (int depth = 0; depth < 5; depth++) {
        pid_t child = fork();
        if (child != 0) {
            say_end(child);
            SAY(write(3, "x", 1));
            _exit(depth);
        }
    }
    write_and_close(3, "last", 4);
}

/* Bytes of a child that borrows the memory are its parent's; the parent's table stays. */
static void borrowed_memory(void)
{
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    pid_t child = vfork();
    if (child == 0) {
        close(3);
        dup2(0, 3);
        execl("/proc/self/exe", "calls", "after_exec", ".", NULL);
        _exit(127);
    }
    say_end(child);
    write_and_close(3, "12", 2);
}

static void after_exec(void)
{
    SAY(open("g", O_RDWR | O_CREAT, 0600));
    write_and_close((int)SAY(open("g", O_RDWR)), "abcde", 5);
}

static void execs(void)
{
    SAY(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    SAY(write(3, "123", 3));
    execl("/proc/self/exe", "calls", "after_exec", ".", NULL);
}

static void spawns(void)
{
    char *arguments[] = {"calls", "after_exec", ".", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 5, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclose(&actions, 3);
    pid_t child = -1;
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    int failed = posix_spawn(&child, "/proc/self/exe", &actions, NULL, arguments, environ);
    say_end(child); /* which says things, too: not before it has ended */
    say("posix_spawn", failed);
    posix_spawn_file_actions_destroy(&actions);
    write_and_close(3, "12", 2);
    SAY(system("exit 3"));
}

static void changes_user(void)
{
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    SAY(write(3, "1", 1));
    SAY(setgid(65534));
    SAY(setuid(65534));
    SAY(write(3, "12", 2));
    execl("/proc/self/exe", "calls", "after_change", ".", NULL);
}

static void after_change(void)
{
    SAY(write(3, "1234", 4));
}

/* In a child that may write no file of a page's size nothing is counted, and no SIGXFSZ comes. */
static void small_files_only(void)
{
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    struct rlimit limit = {100, 100};
    setrlimit(RLIMIT_FSIZE, &limit);
    pid_t child = fork();
    if (child == 0) {
        SAY(write(3, "uncounted", 9));
        _exit(0);
    }
    say_end(child);
    write_and_close(3, "12", 2);
}

static void forks_within_handler(int number)
{
    (void)number;
    pid_t child = _Fork();
    if (child == 0) {
        write(3, "child", 5);
        _exit(0);
    }
    say_end(child);
}

static void fork_in_handler(void)
{
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    signal(SIGUSR1, forks_within_handler);
    SAY(raise(SIGUSR1));
    write_and_close(3, "12", 2);
}

const struct test_case process_cases[] = {
    {"forks", forks, {.file = {.opened = 2, .closed = 2, .written = 5}}},
    {"bare_forks", bare_forks, {.file = {.opened = 1, .closed = 3, .written = 9}}},
    {"fork_chain",
     fork_chain,
     {.file = {.opened = 1, .closed = 1, .written = 9, .open = 1}}},
    {"borrowed_memory",
     borrowed_memory,
     {.file = {.opened = 3, .closed = 2, .written = 7}}},
    {"after_exec", after_exec, {.file = {.opened = 2, .closed = 1, .written = 5, .open = 1}}},
    {"execs", execs, {.file = {.opened = 3, .closed = 1, .written = 8, .open = 1}}},
    {"spawns", spawns, {.file = {.opened = 3, .closed = 2, .written = 7}}},
    {"changes_user",
     changes_user,
     {.file = {.opened = 1, .written = 7, .open = 1}}},
    {"after_change", after_change, {}},
    {"small_files_only", small_files_only, {.file = {.opened = 1, .closed = 1, .written = 2}}},
    {"fork_in_handler", fork_in_handler, {.file = {.opened = 1, .closed = 1, .written = 7}}},
    {0},
};
