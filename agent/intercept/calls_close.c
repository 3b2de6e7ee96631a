/* The end of descriptors, and copies of them. */
#define _GNU_SOURCE
#include "counting.h"
#include "next.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <stdarg.h>
#include <unistd.h>

/* Whatever else close says, the descriptor is gone: on Linux after EINTR and EIO, too. */
NEXT(close)
EXPORT int close(int fd)
{
    enum kind kind = forget_closing(fd);
    int result = CALL_NEXT(close)(fd);
    if (result == 0 || errno != EBADF)
        count_closed(kind);
    return result;
}

NEXT(mq_close)
EXPORT int mq_close(mqd_t queue)
{
    enum kind kind = forget_closing(queue);
    int result = CALL_NEXT(mq_close)(queue);
    if (result == 0 || errno != EBADF)
        count_closed(kind);
    return result;
}

NEXT(close_range)
EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    int result = CALL_NEXT(close_range)(first, last, flags);
    if (result == 0 && (flags & (int)CLOSE_RANGE_CLOEXEC) == 0)
        count_closed_range(first, last);
    return result;
}

NEXT(closefrom)
EXPORT void closefrom(int first)
{
    CALL_NEXT(closefrom)(first);
    count_closed_range(first < 0 ? 0 : (unsigned)first, UINT_MAX);
}

NEXT(dup)
EXPORT int dup(int fd)
{
    int copy = CALL_NEXT(dup)(fd);
    count_duplicated(fd, copy);
    return copy;
}

NEXT(dup2)
EXPORT int dup2(int fd, int to)
{
    enum kind replaced = fd != to ? kind_to_replace(to) : KINDS;
    int copy = CALL_NEXT(dup2)(fd, to);
    if (copy >= 0)
        count_closed(replaced);
    count_duplicated(fd, copy);
    return copy;
}

NEXT(dup3)
EXPORT int dup3(int fd, int to, int flags)
{
    enum kind replaced = fd != to ? kind_to_replace(to) : KINDS;
    int copy = CALL_NEXT(dup3)(fd, to, flags);
    if (copy >= 0)
        count_closed(replaced);
    count_duplicated(fd, copy);
    return copy;
}

/* The third argument is an int, a long or a pointer, or absent: handed on as it came. */
#define FCNTL(name)                                                                                \
    NEXT(name)                                                                                     \
    EXPORT int name(int fd, int command, ...)                                                      \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, command);                                                              \
        void *argument = va_arg(arguments, void *);                                                \
        va_end(arguments);                                                                         \
        int result = CALL_NEXT(name)(fd, command, argument);                                       \
        if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)                                      \
            count_duplicated(fd, result);                                                          \
        return result;                                                                             \
    }

FCNTL(fcntl)
FCNTL(fcntl64)
