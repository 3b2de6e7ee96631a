"""`manage.py up | status | stop | test | fuzz_api`."""

import os
import sys
from collections.abc import Sequence

from config.runtime.arguments import OneLineParser
from config.runtime.failure import CannotRun
from config.runtime.home import configured_home


def main(arguments: Sequence[str]) -> int:
    """Carry out a command of the runtime; the exit status."""
    name, *rest = arguments
    try:
        return _run(name, rest)
    except CannotRun as failure:
        print(f"hostmeter: {failure}", file=sys.stderr)
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"hostmeter: {where}{error.strerror or error}", file=sys.stderr)
    except (EOFError, KeyboardInterrupt):
        print("hostmeter: nothing was done", file=sys.stderr)
    return 1


def _run(name: str, arguments: Sequence[str]) -> int:
    # Imported when needed: `status` and `stop` answer at once.
    if name == "test":
        from config.runtime.testing import run_tests

        return run_tests(arguments)
    if name == "fuzz_api":
        from config.runtime.fuzzing import fuzz_api

        return fuzz_api(arguments)
    if name == "up":
        from config.runtime.up import up

        return up(configured_home(), arguments)
    from config.runtime import control

    parser = OneLineParser(f"manage.py {name}")
    if name == "status":
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        options = parser.parse_args(arguments)
        return control.print_status(configured_home(), as_json=options.json)
    parser.parse_args(arguments)
    return control.stop(configured_home())
