/* Streams and directories. They open and close inside the C library, where no hook is reached, so
 * opening and closing is counted here; the bytes in between are not. */
#define _GNU_SOURCE
#include "counting.h"
#include "next.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

/* -1 for a stream without a descriptor, such as a string. */
static int descriptor_of(FILE *stream)
{
    int saved_errno = errno;
    int fd = fileno_unlocked(stream);
    errno = saved_errno;
    return fd;
}

static void count_stream(FILE *stream)
{
    if (stream != NULL)
        count_opened_unknown(descriptor_of(stream));
}

#define FOPEN(name)                                                                                \
    NEXT(name)                                                                                     \
    EXPORT FILE *name(const char *path, const char *mode)                                          \
    {                                                                                              \
        FILE *stream = CALL_NEXT(name)(path, mode);                                                \
        count_stream(stream);                                                                      \
        return stream;                                                                             \
    }

FOPEN(fopen)
FOPEN(fopen64)

#define TMPFILE(name)                                                                              \
    NEXT(name)                                                                                     \
    EXPORT FILE *name(void)                                                                        \
    {                                                                                              \
        FILE *stream = CALL_NEXT(name)();                                                          \
        count_stream(stream);                                                                      \
        return stream;                                                                             \
    }

TMPFILE(tmpfile)
TMPFILE(tmpfile64)

/* What the stream had is closed even when the new file cannot be opened. */
#define FREOPEN(name)                                                                              \
    NEXT(name)                                                                                     \
    EXPORT FILE *name(const char *path, const char *mode, FILE *stream)                            \
    {                                                                                              \
        int fd = descriptor_of(stream);                                                            \
        enum kind former = fd < 0 ? KINDS : forget_closing(fd);                                    \
        FILE *reopened = CALL_NEXT(name)(path, mode, stream);                                      \
        count_closed(former);                                                                      \
        count_stream(reopened);                                                                    \
        return reopened;                                                                           \
    }

FREOPEN(freopen)
FREOPEN(freopen64)

NEXT(fdopen)
EXPORT FILE *fdopen(int fd, const char *mode)
{
    FILE *stream = CALL_NEXT(fdopen)(fd, mode);
    if (stream != NULL)
        note_stdio(fd);
    return stream;
}

#define CLOSES_STREAM(name)                                                                        \
    NEXT(name)                                                                                     \
    EXPORT int name(FILE *stream)                                                                  \
    {                                                                                              \
        int fd = descriptor_of(stream);                                                            \
        enum kind kind = fd < 0 ? KINDS : forget_closing(fd);                                      \
        int result = CALL_NEXT(name)(stream);                                                      \
        count_closed(kind);                                                                        \
        return result;                                                                             \
    }

CLOSES_STREAM(fclose)
CLOSES_STREAM(pclose)

/* The end that the command has is not this process's. */
NEXT(popen)
EXPORT FILE *popen(const char *command, const char *mode)
{
    FILE *stream = CALL_NEXT(popen)(command, mode);
    count_stream(stream);
    return stream;
}

NEXT(opendir)
EXPORT DIR *opendir(const char *path)
{
    DIR *directory = CALL_NEXT(opendir)(path);
    if (directory != NULL)
        count_opened(dirfd(directory), KIND_FILE);
    return directory;
}

/* closedir answers NULL with EINVAL, though its declaration lets the compiler think there is none. */
static bool is_null(const void *volatile pointer)
{
    return pointer == NULL;
}

NEXT(closedir)
EXPORT int closedir(DIR *directory)
{
    enum kind kind = is_null(directory) ? KINDS : forget_closing(dirfd(directory));
    int result = CALL_NEXT(closedir)(directory);
    count_closed(kind);
    return result;
}
