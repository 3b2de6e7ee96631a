/* Bytes that the kernel moves from one descriptor to another: read of the one, written to the
 * other. */
#define _GNU_SOURCE
#include "counting.h"
#include "next.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

static void count_moved(int from, int to, ssize_t moved)
{
    count_read(from, moved);
    count_written(to, moved);
}

NEXT(sendfile)
EXPORT ssize_t sendfile(int to, int from, off_t *at, size_t size)
{
    ssize_t moved = CALL_NEXT(sendfile)(to, from, at, size);
    count_moved(from, to, moved);
    return moved;
}

NEXT(sendfile64)
EXPORT ssize_t sendfile64(int to, int from, off64_t *at, size_t size)
{
    ssize_t moved = CALL_NEXT(sendfile64)(to, from, at, size);
    count_moved(from, to, moved);
    return moved;
}

NEXT(splice)
EXPORT ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t size,
                      unsigned flags)
{
    ssize_t moved = CALL_NEXT(splice)(from, from_at, to, to_at, size, flags);
    count_moved(from, to, moved);
    return moved;
}

/* The bytes stay in the pipe that they come from: only written. */
NEXT(tee)
EXPORT ssize_t tee(int from, int to, size_t size, unsigned flags)
{
    ssize_t copied = CALL_NEXT(tee)(from, to, size, flags);
    count_written(to, copied);
    return copied;
}

NEXT(copy_file_range)
EXPORT ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size,
                               unsigned flags)
{
    ssize_t moved = CALL_NEXT(copy_file_range)(from, from_at, to, to_at, size, flags);
    count_moved(from, to, moved);
    return moved;
}

/* Into a pipe's writing end, out of its reading end. */
NEXT(vmsplice)
EXPORT ssize_t vmsplice(int fd, const struct iovec *vector, size_t count, unsigned flags)
{
    ssize_t moved = CALL_NEXT(vmsplice)(fd, vector, count, flags);
    if (moved <= 0)
        return moved;
    int saved_errno = errno;
    int access = fcntl(fd, F_GETFL);
    errno = saved_errno;
    if ((access & O_ACCMODE) == O_RDONLY)
        count_read(fd, moved);
    else
        count_written(fd, moved);
    return moved;
}
