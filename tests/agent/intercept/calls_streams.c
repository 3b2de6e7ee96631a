/* Streams and directories: opened and closed inside the C library. */
#define _GNU_SOURCE
#include "calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void streams(void)
{
    FILE *stream = fopen("f", "w+");
    say("stream", fileno(stream));
    say("put", fputs("not counted", stream));
    stream = freopen("g", "w", stream);
    say("stream", fileno(stream));
    SAY(fclose(stream));
    stream = fopen64("f", "r");
    say("stream", fileno(stream));
    SAY(freopen64("absent", "r", stream) == NULL);
    stream = tmpfile();
    say("stream", fileno(stream));
    SAY(fclose(stream));
    stream = tmpfile64();
    SAY(fclose(stream));
    SAY(fopen("absent", "r") == NULL);
    SAY(fopen64("f", "z") == NULL);
    SAY(fdopen(99, "r") == NULL);
}

static void streams_of_descriptors(void)
{
    SAY(open("f", O_RDWR | O_CREAT, 0600));
    FILE *stream = fdopen(3, "r+");
    say("stream", fileno(stream));
    SAY(fclose(stream));
    SAY(close(3));
    char memory[8];
    stream = fmemopen(memory, sizeof memory, "w");
    SAY(fclose(stream));
}

static void commands(void)
{
    char line[16] = "";
    FILE *stream = popen("echo hello; exit 3", "r");
    say("stream", fileno(stream));
    say("line", fgets(line, sizeof line, stream) != NULL);
    say_text(line);
    SAY(pclose(stream));
    SAY(popen("true", "z") == NULL);
}

static void directories(void)
{
    DIR *directory = opendir(".");
    say("directory", dirfd(directory));
    SAY(closedir(directory));
    SAY(opendir("absent") == NULL);
    DIR *volatile none = NULL;
    SAY(closedir(none));
    directory = fdopendir((int)SAY(open(".", O_RDONLY)));
    SAY(closedir(directory));
}

/* These must not resolve anything, and not make what is counted of the network a lower bound. */
static void numbers_of_hosts(void)
{
    struct addrinfo *found, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    SAY(getaddrinfo("127.0.0.1", "80", &hints, &found));
    freeaddrinfo(found);
    SAY(getaddrinfo(NULL, "80", &hints, &found));
    freeaddrinfo(found);
    SAY(getaddrinfo("::1", NULL, NULL, &found));
    freeaddrinfo(found);
    SAY(getnameinfo((struct sockaddr *)&address, sizeof address, host, sizeof host, NULL, 0,
                    NI_NUMERICHOST));
    SAY(gethostbyname("127.0.0.1") != NULL);
}

static void names_of_hosts(void)
{
    struct hostent host, *result;
    char buffer[1024];
    int error;
    SAY(gethostbyname("localhost") != NULL);
    SAY(gethostbyname2("localhost", AF_INET) != NULL);
    SAY(gethostbyname_r("localhost", &host, buffer, sizeof buffer, &result, &error));
    SAY(gethostbyname2_r("localhost", AF_INET, &host, buffer, 1, &result, &error));
    SAY(gethostbyaddr("\177\0\0\1", 4, AF_INET) != NULL);
    SAY(gethostbyaddr_r("\177\0\0\1", 4, AF_INET, &host, buffer, 1, &result, &error));
}

static void stream_of_a_connection(void)
{
    FILE *stream = fdopen((int)SAY(socket(AF_INET, SOCK_STREAM, 0)), "r+");
    SAY(fclose(stream));
}

const struct test_case stream_cases[] = {
    {"streams", streams, {.file = {.opened = 5, .closed = 5}}},
    {"streams_of_descriptors", streams_of_descriptors, {.file = {.opened = 1, .closed = 1}}},
    {"commands", commands, {.pipe = {.opened = 1, .closed = 1, .written = 6}}}, /* the shell's */
    {"directories", directories, {.file = {.opened = 2, .closed = 2}}},
    {"numbers_of_hosts", numbers_of_hosts, {}},
    {"names_of_hosts", names_of_hosts, {}},
    {"stream_of_a_connection",
     stream_of_a_connection,
     {.network = {.opened = 1, .closed = 1}}},
    {0},
};
