#!/usr/bin/env python3
"""The only command: `up` runs everything here, `test` runs the tests, the rest is Django's.

Standard library only until the environment is in place, and no syntax that an old interpreter
cannot read, so that it reaches the line that says what is needed.
"""

import sys

RUNTIME_COMMANDS = ("up", "status", "stop", "test", "fuzz_api")
# They need nothing installed, and must not touch the environment of what runs.
ASK_ONLY = ("status", "stop")


def main(arguments):
    # type: (list[str]) -> int
    if sys.version_info < (3, 11):  # noqa: UP036  reached by the interpreters it is about
        found = ".".join(str(number) for number in sys.version_info[:2])
        sys.exit("hostmeter: needs Python 3.11 or newer; this is Python " + found)
    from config import bootstrap

    name = arguments[0] if arguments else "help"
    if name not in ASK_ONLY:
        bootstrap.enter(development=name in ("test", "fuzz_api"))
    if name in RUNTIME_COMMANDS:
        from config.runtime.command import main as run
    else:
        from config.runtime.django_command import main as run
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
