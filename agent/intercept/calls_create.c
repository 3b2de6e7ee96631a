/* Descriptors that are made without a path, and files that get their name from the library. */
#define _GNU_SOURCE
#include "counting.h"
#include "next.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pty.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* PARAMETERS and ARGUMENTS are in parentheses. */
#define CREATES(name, PARAMETERS, ARGUMENTS, counting)                                             \
    NEXT(name)                                                                                     \
    EXPORT int name PARAMETERS                                                                     \
    {                                                                                              \
        int fd = CALL_NEXT(name) ARGUMENTS;                                                        \
        counting;                                                                                  \
        return fd;                                                                                 \
    }

#define CREATES_OTHER(name, PARAMETERS, ARGUMENTS)                                                 \
    CREATES(name, PARAMETERS, ARGUMENTS, count_opened(fd, KIND_OTHER))
#define CREATES_FILE(name, PARAMETERS, ARGUMENTS)                                                  \
    CREATES(name, PARAMETERS, ARGUMENTS, count_opened(fd, KIND_FILE))

CREATES_OTHER(epoll_create, (int size), (size))
CREATES_OTHER(epoll_create1, (int flags), (flags))
CREATES_OTHER(eventfd, (unsigned initial, int flags), (initial, flags))
CREATES_OTHER(timerfd_create, (int clock, int flags), (clock, flags))
CREATES_OTHER(inotify_init, (void), ())
CREATES_OTHER(inotify_init1, (int flags), (flags))
CREATES_OTHER(fanotify_init, (unsigned flags, unsigned event_flags), (flags, event_flags))
CREATES_FILE(memfd_create, (const char *name, unsigned flags), (name, flags))
CREATES_FILE(shm_open, (const char *name, int flags, mode_t mode), (name, flags, mode))
CREATES_FILE(mkstemp, (char *template), (template))
CREATES_FILE(mkstemp64, (char *template), (template))
CREATES_FILE(mkostemp, (char *template, int flags), (template, flags))
CREATES_FILE(mkostemp64, (char *template, int flags), (template, flags))
CREATES_FILE(mkstemps, (char *template, int suffix), (template, suffix))
CREATES_FILE(mkstemps64, (char *template, int suffix), (template, suffix))
CREATES_FILE(mkostemps, (char *template, int suffix, int flags), (template, suffix, flags))
CREATES_FILE(mkostemps64, (char *template, int suffix, int flags), (template, suffix, flags))
CREATES(posix_openpt, (int flags), (flags), count_opened(fd, KIND_DEVICE))

/* With a descriptor it changes that one and makes none. */
NEXT(signalfd)
EXPORT int signalfd(int existing, const sigset_t *mask, int flags)
{
    int fd = CALL_NEXT(signalfd)(existing, mask, flags);
    if (existing == -1)
        count_opened(fd, KIND_OTHER);
    return fd;
}

NEXT(mq_open)
EXPORT mqd_t mq_open(const char *name, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    bool creates = (flags & O_CREAT) != 0;
    mode_t mode = creates ? va_arg(arguments, mode_t) : 0;
    struct mq_attr *attributes = creates ? va_arg(arguments, struct mq_attr *) : NULL;
    va_end(arguments);
    mqd_t queue = CALL_NEXT(mq_open)(name, flags, mode, attributes);
    count_opened(queue, KIND_FILE);
    return queue;
}

NEXT(openpty)
EXPORT int openpty(int *primary, int *secondary, char *name, const struct termios *modes,
                   const struct winsize *size)
{
    int result = CALL_NEXT(openpty)(primary, secondary, name, modes, size);
    if (result == 0) {
        count_opened(*primary, KIND_DEVICE);
        count_opened(*secondary, KIND_DEVICE);
    }
    return result;
}

static void count_pair(int result, const int pair[2], enum kind kind)
{
    if (result != 0)
        return;
    count_opened(pair[0], kind);
    count_opened(pair[1], kind);
}

NEXT(pipe)
EXPORT int pipe(int pair[2])
{
    int result = CALL_NEXT(pipe)(pair);
    count_pair(result, pair, KIND_PIPE);
    return result;
}

NEXT(pipe2)
EXPORT int pipe2(int pair[2], int flags)
{
    int result = CALL_NEXT(pipe2)(pair, flags);
    count_pair(result, pair, KIND_PIPE);
    return result;
}
