/* Threads, signals and cancellation. */
#define _GNU_SOURCE
#include "calls.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 2000
#define SIGNALS 500
#define COPIES 20000

static int shared;

static void *write_much(void *unused)
{
    for (int round = 0; round < ROUNDS; round++)
        if (write(shared, "abc", 3) != 3)
            return (void *)1;
    return unused;
}

static void *open_much(void *unused)
{
    for (int round = 0; round < ROUNDS; round++) {
        int fd = open("/dev/null", O_WRONLY);
        if (write(fd, "x", 1) != 1 || close(fd) != 0)
            return (void *)1;
    }
    return unused;
}

static void run_all(void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, body, NULL);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        say("thread", result != NULL);
    }
}

static void threads_write(void)
{
    shared = open("f", O_WRONLY | O_CREAT | O_APPEND, 0600);
    run_all(write_much);
    say("size", lseek(shared, 0, SEEK_END));
    SAY(close(shared));
}

static void threads_open(void)
{
    run_all(open_much);
}

static volatile sig_atomic_t signals;

static void write_in_handler(int number)
{
    (void)number;
    if (signals < SIGNALS && write(shared, "xy", 2) == 2)
        signals = signals + 1;
}

/* A handler interrupts the hooks themselves, thousands of times. */
static void handlers_write(void)
{
    struct itimerval often = {{0, 50}, {0, 50}};
    shared = open("f", O_WRONLY | O_CREAT | O_APPEND, 0600);
    int null = open("/dev/null", O_WRONLY);
    struct sigaction action = {.sa_handler = write_in_handler, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int copied = 0; copied < COPIES || signals < SIGNALS; copied++)
        if (copied < COPIES)
            close(dup(null));
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    say("signals", signals);
    SAY(close(null) + close(shared));
}

static int pair[2];
static int starting[2];

static void say_cleanup(void *what)
{
    say_text("cleanup ");
    say_text(what);
    say_text("\n");
}

#define CANCELLED(name, call)                                                                      \
    static void *name(void *unused)                                                                \
    {                                                                                              \
        pthread_cleanup_push(say_cleanup, #call);                                                  \
        say(#call, (long)(call));                                                                  \
        pthread_cleanup_pop(0);                                                                    \
        return unused;                                                                             \
    }

static char byte;

CANCELLED(in_read, read(pair[0], &byte, 1))
CANCELLED(in_recv, recv(starting[0], &byte, 1, 0))
CANCELLED(in_open, open("absent", O_RDONLY))
CANCELLED(in_write, write(pair[1], "", 0))
CANCELLED(in_close, close(99))
CANCELLED(in_send, send(starting[0], "", 0, 0))

static void cancel_one(void *(*body)(void *))
{
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, body, NULL);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    say("cancelled", result == PTHREAD_CANCELED);
}

static void cancellations(void)
{
    SAY(pipe(pair));
    SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, starting));
    cancel_one(in_read);
    cancel_one(in_recv);
    SAY(close_range(3, 6, 0));
}

static void *cancels_itself(void *body)
{
    pthread_cancel(pthread_self());
    return ((void *(*)(void *))body)(NULL);
}

/* A pending cancellation acts in each of these calls, with and without the library. */
static void pending_cancellations(void)
{
    void *(*const bodies[])(void *) = {in_open, in_write, in_close, in_send};
    SAY(pipe(pair));
    SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, starting));
    for (int i = 0; i < COUNT_OF(bodies); i++) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, cancels_itself, (void *)bodies[i]);
        pthread_join(thread, &result);
        say("cancelled", result == PTHREAD_CANCELED);
    }
    SAY(close_range(3, 6, 0));
}

const struct test_case thread_cases[] = {
    {"threads_write",
     threads_write,
     {.file = {.opened = 1, .closed = 1, .written = 3L * THREADS * ROUNDS}}},
    {"threads_open",
     threads_open,
     {.device = {.opened = (long)THREADS * ROUNDS, .closed = (long)THREADS * ROUNDS,
                 .written = (long)THREADS * ROUNDS}}},
    {"cancellations",
     cancellations,
     {.pipe = {.opened = 2, .closed = 2}, .socket = {.opened = 2, .closed = 2}}},
    {"pending_cancellations",
     pending_cancellations,
     {.pipe = {.opened = 2, .closed = 2}, .socket = {.opened = 2, .closed = 2}}},
    {"handlers_write",
     handlers_write,
     {.file = {.opened = 1, .closed = 1, .written = 2L * SIGNALS},
      .device = {.opened = 1, .duplicated = COPIES, .closed = COPIES + 1}}},
    {0},
};
