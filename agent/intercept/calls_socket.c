/* Sockets: made, accepted, connected, and what is sent and received through them. */
#define _GNU_SOURCE
#include "counting.h"
#include "next.h"

#include <errno.h>
#include <sys/socket.h>

/* The checked forms that fortified programs call. */
ssize_t __recv_chk(int fd, void *to, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *to, size_t size, size_t room, int flags,
                       __SOCKADDR_ARG address, socklen_t *length);

static enum kind kind_of_domain(int domain)
{
    return domain == AF_INET || domain == AF_INET6 ? KIND_NETWORK : KIND_SOCKET;
}

NEXT(socket)
EXPORT int socket(int domain, int type, int protocol)
{
    int fd = CALL_NEXT(socket)(domain, type, protocol);
    count_opened(fd, kind_of_domain(domain));
    return fd;
}

NEXT(socketpair)
EXPORT int socketpair(int domain, int type, int protocol, int pair[2])
{
    int result = CALL_NEXT(socketpair)(domain, type, protocol, pair);
    if (result == 0) {
        count_opened(pair[0], kind_of_domain(domain));
        count_opened(pair[1], kind_of_domain(domain));
    }
    return result;
}

NEXT(accept)
EXPORT int accept(int listener, __SOCKADDR_ARG address, socklen_t *length)
{
    int fd = CALL_NEXT(accept)(listener, address, length);
    count_accepted(fd, listener);
    return fd;
}

NEXT(accept4)
EXPORT int accept4(int listener, __SOCKADDR_ARG address, socklen_t *length, int flags)
{
    int fd = CALL_NEXT(accept4)(listener, address, length, flags);
    count_accepted(fd, listener);
    return fd;
}

NEXT(connect)
EXPORT int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    int result = CALL_NEXT(connect)(fd, address, length);
    if (result == 0 || errno == EINPROGRESS)
        count_connected(fd);
    return result;
}

NEXT(send)
EXPORT ssize_t send(int fd, const void *from, size_t size, int flags)
{
    ssize_t sent = CALL_NEXT(send)(fd, from, size, flags);
    count_written(fd, sent);
    return sent;
}

NEXT(sendto)
EXPORT ssize_t sendto(int fd, const void *from, size_t size, int flags,
                      __CONST_SOCKADDR_ARG address, socklen_t length)
{
    ssize_t sent = CALL_NEXT(sendto)(fd, from, size, flags, address, length);
    count_written(fd, sent);
    return sent;
}

NEXT(sendmsg)
EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t sent = CALL_NEXT(sendmsg)(fd, message, flags);
    count_written(fd, sent);
    return sent;
}

static ssize_t total(const struct mmsghdr *messages, int count)
{
    ssize_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += messages[i].msg_len;
    return bytes;
}

NEXT(sendmmsg)
EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    int sent = CALL_NEXT(sendmmsg)(fd, messages, count, flags);
    count_written(fd, total(messages, sent));
    return sent;
}

/* What is only looked at is counted when it is taken; the error queue holds what was sent. */
static void count_received(int fd, ssize_t received, int flags)
{
    if ((flags & (MSG_PEEK | MSG_ERRQUEUE)) == 0)
        count_read(fd, received);
}

NEXT(recv)
EXPORT ssize_t recv(int fd, void *to, size_t size, int flags)
{
    ssize_t received = CALL_NEXT(recv)(fd, to, size, flags);
    count_received(fd, received, flags);
    return received;
}

NEXT(__recv_chk)
EXPORT ssize_t __recv_chk(int fd, void *to, size_t size, size_t room, int flags)
{
    ssize_t received = CALL_NEXT(__recv_chk)(fd, to, size, room, flags);
    count_received(fd, received, flags);
    return received;
}

NEXT(recvfrom)
EXPORT ssize_t recvfrom(int fd, void *to, size_t size, int flags, __SOCKADDR_ARG address,
                        socklen_t *length)
{
    ssize_t received = CALL_NEXT(recvfrom)(fd, to, size, flags, address, length);
    count_received(fd, received, flags);
    return received;
}

NEXT(__recvfrom_chk)
EXPORT ssize_t __recvfrom_chk(int fd, void *to, size_t size, size_t room, int flags,
                              __SOCKADDR_ARG address, socklen_t *length)
{
    ssize_t received = CALL_NEXT(__recvfrom_chk)(fd, to, size, room, flags, address, length);
    count_received(fd, received, flags);
    return received;
}

NEXT(recvmsg)
EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t received = CALL_NEXT(recvmsg)(fd, message, flags);
    count_received(fd, received, flags);
    return received;
}

NEXT(recvmmsg)
EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    int received = CALL_NEXT(recvmmsg)(fd, messages, count, flags, timeout);
    count_received(fd, total(messages, received), flags);
    return received;
}
