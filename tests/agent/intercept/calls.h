/* Cases for the intercepting library: each makes hooked calls and says what they answered.
 *
 *     calls CASE DIRECTORY    run one case; what the calls answered, on stdout
 *     calls --list            all names
 *     calls --expected CASE   what has to be in the page after it
 */
#ifndef CALLS_H
#define CALLS_H

#include <errno.h>

struct counts {
    long opened, duplicated, closed, read, written, accepted, connected, open;
};

/* `open` is what is left open beyond standard input, output and error. */
struct expected {
    struct counts file, socket, pipe, device, other, network;
};

struct test_case {
    const char *name;
    void (*run)(void);
    struct expected expected;
};

extern const struct test_case file_cases[], byte_cases[], socket_cases[], process_cases[],
    thread_cases[], stream_cases[], fortified_cases[];

#define ERRNO_BEFORE 77

/* Say what a call answered and what errno is then; one that succeeds leaves it alone. */
#define SAY(call) (errno = ERRNO_BEFORE, say(#call, (long)(call)))

long say(const char *call, long answer);

/* Say a text alone. Neither this nor SAY makes a hooked call. */
void say_text(const char *text);

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

#endif
