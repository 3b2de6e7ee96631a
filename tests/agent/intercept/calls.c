#define _GNU_SOURCE
#include "calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct test_case *const groups[] = {
    file_cases, byte_cases, socket_cases, process_cases, thread_cases, stream_cases,
    fortified_cases};

void say_text(const char *text)
{
    if (syscall(SYS_write, STDOUT_FILENO, text, strlen(text)) < 0)
        _exit(70);
}

long say(const char *call, long answer)
{
    int said_errno = errno;
    char line[512];
    snprintf(line, sizeof line, "%s = %ld, errno %d\n", call, answer, said_errno);
    say_text(line);
    errno = said_errno;
    return answer;
}

static void print_counts(const char *kind, const struct counts *c)
{
    printf("%s %ld %ld %ld %ld %ld %ld %ld %ld\n", kind, c->opened, c->duplicated, c->closed,
           c->read, c->written, c->accepted, c->connected, c->open);
}

static void print_expected(const struct expected *expected)
{
    print_counts("file", &expected->file);
    print_counts("socket", &expected->socket);
    print_counts("pipe", &expected->pipe);
    print_counts("device", &expected->device);
    print_counts("other", &expected->other);
    print_counts("network", &expected->network);
}

static const struct test_case *find(const char *name)
{
    for (int group = 0; group < COUNT_OF(groups); group++)
        for (const struct test_case *c = groups[group]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0)
                return c;
    fprintf(stderr, "calls: there is no case %s\n", name);
    exit(64);
}

static void list(void)
{
    for (int group = 0; group < COUNT_OF(groups); group++)
        for (const struct test_case *c = groups[group]; c->name != NULL; c++)
            puts(c->name);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list();
    } else if (argc == 3 && strcmp(argv[1], "--expected") == 0) {
        print_expected(&find(argv[2])->expected);
    } else if (argc == 3 && chdir(argv[2]) == 0) {
        find(argv[1])->run();
    } else {
        fprintf(stderr, "calls: --list | --expected CASE | CASE DIRECTORY\n");
        return 64;
    }
    return 0;
}
