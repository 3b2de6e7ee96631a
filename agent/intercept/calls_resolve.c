/* Names of hosts. The C library asks the network for them through sockets of its own, which no
 * hook sees; that it may have is noted. */
#define _GNU_SOURCE
#include "counting.h"
#include "next.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>

static bool is_number(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    int saved_errno = errno;
    bool number = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    errno = saved_errno;
    return number;
}

/* The declarations of some let the compiler think that there is always a host. */
static void note_name(const char *volatile host)
{
    if (host != NULL && !is_number(host))
        note_network_uncounted();
}

NEXT(getaddrinfo)
EXPORT int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    note_name(host);
    return CALL_NEXT(getaddrinfo)(host, service, hints, found);
}

NEXT(getnameinfo)
EXPORT int getnameinfo(const struct sockaddr *address, socklen_t length, char *host,
                       socklen_t host_size, char *service, socklen_t service_size, int flags)
{
    if (host_size > 0 && (flags & NI_NUMERICHOST) == 0)
        note_network_uncounted();
    return CALL_NEXT(getnameinfo)(address, length, host, host_size, service, service_size, flags);
}

NEXT(gethostbyname)
EXPORT struct hostent *gethostbyname(const char *host)
{
    note_name(host);
    return CALL_NEXT(gethostbyname)(host);
}

NEXT(gethostbyname2)
EXPORT struct hostent *gethostbyname2(const char *host, int family)
{
    note_name(host);
    return CALL_NEXT(gethostbyname2)(host, family);
}

NEXT(gethostbyname_r)
EXPORT int gethostbyname_r(const char *host, struct hostent *to, char *buffer, size_t size,
                           struct hostent **found, int *error)
{
    note_name(host);
    return CALL_NEXT(gethostbyname_r)(host, to, buffer, size, found, error);
}

NEXT(gethostbyname2_r)
EXPORT int gethostbyname2_r(const char *host, int family, struct hostent *to, char *buffer,
                            size_t size, struct hostent **found, int *error)
{
    note_name(host);
    return CALL_NEXT(gethostbyname2_r)(host, family, to, buffer, size, found, error);
}

NEXT(gethostbyaddr)
EXPORT struct hostent *gethostbyaddr(const void *address, socklen_t length, int family)
{
    note_network_uncounted();
    return CALL_NEXT(gethostbyaddr)(address, length, family);
}

NEXT(gethostbyaddr_r)
EXPORT int gethostbyaddr_r(const void *address, socklen_t length, int family, struct hostent *to,
                           char *buffer, size_t size, struct hostent **found, int *error)
{
    note_network_uncounted();
    return CALL_NEXT(gethostbyaddr_r)(address, length, family, to, buffer, size, found, error);
}
