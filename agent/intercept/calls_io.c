/* Bytes read and written through a descriptor. */
#define _GNU_SOURCE
#include "counting.h"
#include "next.h"

#include <sys/uio.h>
#include <unistd.h>

/* The checked forms that fortified programs call. */
ssize_t __read_chk(int fd, void *to, size_t size, size_t room);
ssize_t __pread_chk(int fd, void *to, size_t size, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *to, size_t size, off64_t at, size_t room);

/* PARAMETERS (the first is `int fd`) and ARGUMENTS are in parentheses. */
#define TRANSFERS(name, PARAMETERS, ARGUMENTS, count)                                              \
    NEXT(name)                                                                                     \
    EXPORT ssize_t name PARAMETERS                                                                 \
    {                                                                                              \
        ssize_t transferred = CALL_NEXT(name) ARGUMENTS;                                           \
        count(fd, transferred);                                                                    \
        return transferred;                                                                        \
    }

#define READS(name, PARAMETERS, ARGUMENTS) TRANSFERS(name, PARAMETERS, ARGUMENTS, count_read)
#define WRITES(name, PARAMETERS, ARGUMENTS) TRANSFERS(name, PARAMETERS, ARGUMENTS, count_written)

typedef const struct iovec *vector;

READS(read, (int fd, void *to, size_t size), (fd, to, size))
READS(__read_chk, (int fd, void *to, size_t size, size_t room), (fd, to, size, room))
READS(pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
READS(pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
READS(__pread_chk, (int fd, void *to, size_t size, off_t at, size_t room), (fd, to, size, at, room))
READS(__pread64_chk, (int fd, void *to, size_t size, off64_t at, size_t room),
      (fd, to, size, at, room))
READS(readv, (int fd, vector to, int count), (fd, to, count))
READS(preadv, (int fd, vector to, int count, off_t at), (fd, to, count, at))
READS(preadv64, (int fd, vector to, int count, off64_t at), (fd, to, count, at))
READS(preadv2, (int fd, vector to, int count, off_t at, int flags), (fd, to, count, at, flags))
READS(preadv64v2, (int fd, vector to, int count, off64_t at, int flags), (fd, to, count, at, flags))

WRITES(write, (int fd, const void *from, size_t size), (fd, from, size))
WRITES(pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
WRITES(pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
WRITES(writev, (int fd, vector from, int count), (fd, from, count))
WRITES(pwritev, (int fd, vector from, int count, off_t at), (fd, from, count, at))
WRITES(pwritev64, (int fd, vector from, int count, off64_t at), (fd, from, count, at))
WRITES(pwritev2, (int fd, vector from, int count, off_t at, int flags),
       (fd, from, count, at, flags))
WRITES(pwritev64v2, (int fd, vector from, int count, off64_t at, int flags),
       (fd, from, count, at, flags))
