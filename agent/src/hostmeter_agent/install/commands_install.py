"""The subcommands `install`, `uninstall` and `doctor`."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from hostmeter_agent.install.tokens import token_given

NAMES: Final = ("install", "uninstall", "doctor")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommands."""
    install = commands.add_parser("install", help="set this host up: user, enrolment, service")
    install.add_argument("--server", metavar="URL", help="needed unless the host is enrolled")
    token = install.add_mutually_exclusive_group()
    token.add_argument("--token", help="a single-use enrolment token; every user can see it here")
    token.add_argument(
        "--token-file", metavar="FILE", help="a file that holds the token; - for standard input"
    )
    install.add_argument("--name", help="default: the host's name")
    install.add_argument(
        "--config", type=Path, metavar="FILE", help="the configuration to install; TOML"
    )
    install.add_argument(
        "--set", action="append", default=[], dest="values", metavar="KEY=VALUE",
        help="a value of the configuration; may be given again",
    )  # fmt: skip
    install.add_argument("--user", metavar="NAME", help="an existing user to run as")
    install.add_argument("--no-start", action="store_true", help="leave the service stopped")
    install.add_argument(
        "--dry-run", action="store_true", help="print what would be done; nothing is changed"
    )
    uninstall = commands.add_parser("uninstall", help="remove all that install has made")
    uninstall.add_argument(
        "--discard-undelivered", action="store_true",
        help="also when usage has not reached the server: it is lost",
    )  # fmt: skip
    uninstall.add_argument(
        "--keep-state", action="store_true", help="keep identity and spool, and their user"
    )
    for command in (install, uninstall):
        command.add_argument(
            "--root", type=Path, default=Path("/"), metavar="DIR",
            help="the system to work on; default: the one that runs",
        )  # fmt: skip
    doctor = commands.add_parser("doctor", help="what can be measured here, and what to do")
    doctor.add_argument("--state", type=Path, metavar="DIR")
    doctor.add_argument("--config", type=Path, metavar="FILE", help="TOML")
    doctor.add_argument("--json", action="store_true", help="one JSON object")


def execute(arguments: argparse.Namespace) -> int:
    """Run one of NAMES; the exit status. Raises AgentError."""
    # These say themselves what happened; the log is the running agent's.
    logging.getLogger("hostmeter_agent").setLevel(logging.CRITICAL)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "install": _install,
        "uninstall": _uninstall,
        "doctor": _doctor,
    }
    return commands[arguments.command](arguments)


def _install(arguments: argparse.Namespace) -> int:
    from hostmeter_agent.install.installing import Installation, Wanted

    installation = Installation(
        Wanted(
            root=arguments.root,
            server=arguments.server,
            token=token_given(arguments),
            name=arguments.name,
            user=arguments.user,
            config=arguments.config,
            values=arguments.values,
            start=not arguments.no_start,
        )
    )
    return _say(installation.planned() if arguments.dry_run else installation.lines())


def _uninstall(arguments: argparse.Namespace) -> int:
    from hostmeter_agent.install.uninstalling import Removal, Uninstallation

    removal = Removal(arguments.root, arguments.keep_state, arguments.discard_undelivered)
    return _say(Uninstallation(removal).lines())


def _doctor(arguments: argparse.Namespace) -> int:
    from hostmeter_agent.install import doctor

    findings = doctor.examine(doctor.place(arguments.state, arguments.config))
    if arguments.json:
        print(json.dumps(doctor.as_object(findings)))
    else:
        for line in doctor.as_lines(findings):
            print(line)
    return 0 if doctor.can_meter(findings) else 1


def _say(lines: Iterator[str]) -> int:
    for line in lines:
        print(line)
        sys.stdout.flush()
    return 0
