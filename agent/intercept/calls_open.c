/* Files opened by path. */
#define _GNU_SOURCE
#include "counting.h"
#include "next.h"

#include <fcntl.h>
#include <stdarg.h>

/* The checked forms that fortified programs call. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

/* `mode` is there only when the flags ask for it. */
static mode_t mode_of(int flags, va_list arguments)
{
    return __OPEN_NEEDS_MODE(flags) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
    NEXT(name)                                                                                     \
    EXPORT int name(const char *path, int flags, ...)                                              \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_of(flags, arguments);                                                   \
        va_end(arguments);                                                                         \
        int fd = CALL_NEXT(name)(path, flags, mode);                                               \
        count_opened_unknown(fd);                                                                  \
        return fd;                                                                                 \
    }

#define OPENAT(name)                                                                               \
    NEXT(name)                                                                                     \
    EXPORT int name(int directory, const char *path, int flags, ...)                               \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_of(flags, arguments);                                                   \
        va_end(arguments);                                                                         \
        int fd = CALL_NEXT(name)(directory, path, flags, mode);                                    \
        count_opened_unknown(fd);                                                                  \
        return fd;                                                                                 \
    }

#define CREAT(name)                                                                                \
    NEXT(name)                                                                                     \
    EXPORT int name(const char *path, mode_t mode)                                                 \
    {                                                                                              \
        int fd = CALL_NEXT(name)(path, mode);                                                      \
        count_opened_unknown(fd);                                                                  \
        return fd;                                                                                 \
    }

#define OPEN_CHECKED(name)                                                                         \
    NEXT(name)                                                                                     \
    EXPORT int name(const char *path, int flags)                                                   \
    {                                                                                              \
        int fd = CALL_NEXT(name)(path, flags);                                                     \
        count_opened_unknown(fd);                                                                  \
        return fd;                                                                                 \
    }

#define OPENAT_CHECKED(name)                                                                       \
    NEXT(name)                                                                                     \
    EXPORT int name(int directory, const char *path, int flags)                                    \
    {                                                                                              \
        int fd = CALL_NEXT(name)(directory, path, flags);                                          \
        count_opened_unknown(fd);                                                                  \
        return fd;                                                                                 \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
CREAT(creat)
CREAT(creat64)
OPEN_CHECKED(__open_2)
OPEN_CHECKED(__open64_2)
OPENAT_CHECKED(__openat_2)
OPENAT_CHECKED(__openat64_2)
