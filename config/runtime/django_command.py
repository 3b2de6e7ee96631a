"""Django's own commands, beside a running `up` or with servers named in the environment."""

import os
import sys
from collections.abc import Sequence

from config.runtime import secrets_file
from config.runtime.failure import CannotRun
from config.runtime.home import configured_home
from config.runtime.state import running_process

RUNTIME_HELP = """
[hostmeter]
    up [--detach] [--reset [--yes]]   start everything on this machine
    status [--json]                   what runs, and where
    stop                              stop everything
    test [pytest arguments]           run the tests on servers of their own
    fuzz_api [--cases N]              send the API made-up requests, on servers of its own
"""
# Commands that only read the code. The rest would fail on the first query, far from the cause.
WITHOUT_DATABASE = {
    "",
    "--help",
    "-h",
    "--version",
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "findstatic",
    "help",
    "makemessages",
    "makemigrations",
    "version",
}


def main(arguments: Sequence[str]) -> int:
    """Run one of Django's commands; the exit status."""
    name = arguments[0] if arguments else ""
    try:
        has_database = _is_given() or _take_running_environment()
    except (CannotRun, OSError) as failure:
        print(f"hostmeter: {failure}", file=sys.stderr)
        return 1
    if not has_database:
        if _needs_database(name, arguments):
            print(
                "hostmeter: nothing is running here: start it with `python3 manage.py up`, or set"
                " DATABASE_URL",
                file=sys.stderr,
            )
            return 1
        # Enough for the settings to load; it opens nothing.
        os.environ.setdefault("SECRET_KEY", secrets_file.new_secret("SECRET_KEY"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *arguments])
    if name in {"", "help", "--help", "-h"} and len(arguments) < 2:
        print(RUNTIME_HELP, end="")
    return 0


def _needs_database(name: str, arguments: Sequence[str]) -> bool:
    if name in WITHOUT_DATABASE or {"--help", "-h"} & set(arguments):
        return False
    # What the agent costs is measured against a loopback server that keeps nothing.
    return name != "bench" or "agent" not in arguments or "--faults" in arguments


def _is_given() -> bool:
    # In a container only the one that migrates has the owner's connection.
    return any(os.environ.get(name) for name in ("DATABASE_URL", "APP_DATABASE_URL"))


def _take_running_environment() -> bool:
    """Use the servers of the `up` that runs here; variables that are set stay as they are."""
    home = configured_home()
    if running_process(home) is None:
        return False
    for name, value in secrets_file.read(home.environment).items():
        os.environ.setdefault(name, value)
    return "DATABASE_URL" in os.environ
