/* Sockets. Addresses are loopback, ports the kernel's choice. */
#define _GNU_SOURCE
#include "calls.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char bytes[4096];

/* Descriptor 3 listens, 4 is the client's, 5 the server's end. */
static void connect_pair(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SAY(socket(AF_INET, SOCK_STREAM, 0));
    SAY(bind(3, (struct sockaddr *)&address, length));
    SAY(listen(3, 5));
    getsockname(3, (struct sockaddr *)&address, &length);
    SAY(socket(AF_INET, SOCK_STREAM | type, 0));
    SAY(connect(4, (struct sockaddr *)&address, length));
    SAY(accept(3, NULL, NULL));
}

static void close_pair(void)
{
    SAY(close(3) + close(4) + close(5));
}

static void wait_for(int fd)
{
    struct pollfd waiting = {fd, POLLIN, 0};
    poll(&waiting, 1, 5000);
}

static void sends(void)
{
    struct iovec parts[2] = {{"ab", 2}, {"cde", 3}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    struct mmsghdr several[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
    connect_pair(0);
    SAY(send(4, "123", 3, 0));
    SAY(sendto(4, "1234", 4, 0, NULL, 0));
    SAY(sendmsg(4, &message, 0));
    SAY(sendmmsg(4, several, 2, 0));
    say("length", several[0].msg_len + several[1].msg_len);
    SAY(write(4, "12", 2));
    SAY(shutdown(4, SHUT_WR));
    SAY(send(4, "x", 1, MSG_NOSIGNAL));
    SAY(sendmsg(4, &message, MSG_NOSIGNAL));
    SAY(sendmmsg(4, several, 2, MSG_NOSIGNAL));
    SAY(send(99, "x", 1, 0));
    SAY(sendto(0, "x", 1, 0, NULL, 0));
    SAY(sendmmsg(99, several, 2, 0));
    SAY(recv(5, bytes, sizeof bytes, MSG_WAITALL));
    SAY(recv(5, bytes, sizeof bytes, 0));
    close_pair();
}

static void receives(void)
{
    struct iovec parts[2] = {{bytes, 2}, {bytes + 2, 3}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    struct mmsghdr several[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    connect_pair(0);
    SAY(recv(5, bytes, 1, MSG_DONTWAIT));
    SAY(send(4, "0123456789abcdefghij", 20, 0));
    wait_for(5);
    SAY(recv(5, bytes, 10, MSG_PEEK));
    SAY(recv(5, bytes, 3, 0));
    SAY(recvfrom(5, bytes, 4, 0, (struct sockaddr *)&from, &length));
    say("length", length);
    SAY(recvmsg(5, &message, 0));
    SAY(recvmmsg(5, several, 1, 0, NULL));
    say("length", several[0].msg_len);
    SAY(read(5, bytes, 100));
    SAY(recvmsg(5, &message, MSG_DONTWAIT));
    SAY(recvmmsg(5, several, 2, MSG_DONTWAIT, NULL));
    SAY(recvfrom(0, bytes, 1, 0, NULL, NULL));
    SAY(recvmsg(99, &message, 0));
    SAY(close(4));
    wait_for(5);
    SAY(recv(5, bytes, 1, 0));
    SAY(close(3) + close(5));
}

static void accepts(void)
{
    connect_pair(0);
    SAY(fcntl(3, F_SETFL, O_NONBLOCK));
    SAY(accept(3, NULL, NULL));
    SAY(accept4(3, NULL, NULL, SOCK_CLOEXEC));
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    getsockname(3, (struct sockaddr *)&address, &length);
    SAY(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    SAY(connect(6, (struct sockaddr *)&address, length)); /* in progress */
    wait_for(3);
    SAY(accept4(3, (struct sockaddr *)&address, &length, SOCK_CLOEXEC));
    say("length", length);
    SAY(accept(0, NULL, NULL));
    SAY(accept4(3, NULL, NULL, -1));
    SAY(accept(99, NULL, NULL));
    SAY(connect(99, (struct sockaddr *)&address, length));
    SAY(close(6) + close(7));
    close_pair();
}

static void refused(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SAY(socket(AF_INET, SOCK_STREAM, 0));
    SAY(bind(3, (struct sockaddr *)&address, length)); /* bound, but nobody listens */
    getsockname(3, (struct sockaddr *)&address, &length);
    SAY(socket(AF_INET, SOCK_STREAM, 0));
    SAY(connect(4, (struct sockaddr *)&address, length));
    SAY(socket(-1, SOCK_STREAM, 0));
    SAY(close(3) + close(4));
}

static void datagrams(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t length = sizeof address;
    SAY(socket(AF_INET6, SOCK_DGRAM, 0));
    SAY(bind(3, (struct sockaddr *)&address, length));
    getsockname(3, (struct sockaddr *)&address, &length);
    SAY(socket(AF_INET6, SOCK_DGRAM, 0));
    SAY(sendto(4, "0123456789", 10, 0, (struct sockaddr *)&address, length));
    SAY(sendto(4, "", 0, 0, (struct sockaddr *)&address, length));
    SAY(sendto(4, "01234", 5, 0, (struct sockaddr *)&address, length));
    SAY(recvfrom(3, bytes, 4, 0, NULL, NULL));
    SAY(recvfrom(3, bytes, 4, 0, NULL, NULL));
    SAY(recvfrom(3, bytes, 4, MSG_TRUNC, NULL, NULL));
    SAY(sendto(4, bytes, 1 << 20, 0, (struct sockaddr *)&address, length));
    SAY(close(3) + close(4));
}

static void unix_sockets(void)
{
    int pair[2] = {0, 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    say("pair", pair[0] * 100 + pair[1]);
    SAY(send(3, "abc", 3, 0));
    SAY(recv(4, bytes, 10, 0));
    SAY(sendfile(3, 0, NULL, 10));
    SAY(socketpair(AF_INET, SOCK_STREAM, 0, pair));
    SAY(socket(AF_UNIX, SOCK_STREAM, 0));
    SAY(bind(5, (struct sockaddr *)&address, sizeof address));
    SAY(listen(5, 1));
    SAY(socket(AF_UNIX, SOCK_STREAM, 0));
    SAY(connect(6, (struct sockaddr *)&address, sizeof address));
    SAY(accept(5, NULL, NULL));
    SAY(write(6, "hello", 5));
    SAY(read(7, bytes, 100));
    SAY(close_range(3, 7, 0));
}

/* A descriptor that came through a socket was opened by another; its bytes are counted. */
static void passed_descriptor(void)
{
    int pair[2], passed = -1;
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &(struct iovec){"x", 1}, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SAY(open("passed", O_RDWR | O_CREAT, 0600));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &(int){5}, sizeof(int));
    SAY(sendmsg(3, &message, 0));
    message.msg_iov = &(struct iovec){bytes, 1};
    SAY(recvmsg(4, &message, 0));
    memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof passed);
    SAY(write(passed, "1234567", 7));
    SAY(close(passed));
    SAY(close(3) + close(4) + close(5));
}

const struct test_case socket_cases[] = {
    {"sends",
     sends,
     {.network = {.opened = 3, .closed = 3, .accepted = 1, .connected = 1, .written = 24,
                  .read = 24}}},
    {"receives",
     receives,
     {.network = {.opened = 3, .closed = 3, .accepted = 1, .connected = 1, .written = 20,
                  .read = 20}}},
    {"accepts",
     accepts,
     {.network = {.opened = 5, .closed = 5, .accepted = 2, .connected = 2}}},
    {"refused", refused, {.network = {.opened = 2, .closed = 2}}},
    {"datagrams",
     datagrams,
     {.network = {.opened = 2, .closed = 2, .written = 15, .read = 4 + 5}}},
    {"unix_sockets",
     unix_sockets,
     {.socket = {.opened = 5, .closed = 5, .accepted = 1, .connected = 1, .written = 3 + 5,
                 .read = 3 + 5}}},
    {"passed_descriptor",
     passed_descriptor,
     {.socket = {.opened = 2, .closed = 2, .written = 1, .read = 1},
      .file = {.opened = 1, .closed = 2, .written = 7}}},
    {0},
};
