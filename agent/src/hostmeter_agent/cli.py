"""The command `hostmeter-agent`: each failure is one line on stderr and a non-zero exit."""

import argparse
import json
import logging
import socket
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hostmeter_agent import __version__, running
from hostmeter_agent.config import load_config
from hostmeter_agent.errors import AgentError
from hostmeter_agent.install import commands_install
from hostmeter_agent.install.tokens import read_token
from hostmeter_agent.kernel import flows
from hostmeter_agent.measure.windows import stamp
from hostmeter_agent.server import rotation
from hostmeter_agent.server.enrolment import enrol
from hostmeter_agent.store import quarantine
from hostmeter_agent.store.state import StateDirectory

_DRY_RUN_SECONDS = 2.0


class _Parser(argparse.ArgumentParser):
    """Says in one line which argument is wrong; --help has all of them."""

    def print_usage(self, file: Any = None) -> None:
        pass


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="hostmeter-agent",
        description="Measures what the applications of this host really use.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    enrolling = commands.add_parser("enrol", help="make this host known to a server")
    enrolling.add_argument("--server", required=True, metavar="URL")
    token = enrolling.add_mutually_exclusive_group(required=True)
    token.add_argument("--token", help="a single-use enrolment token; every user can see it here")
    token.add_argument(
        "--token-file", metavar="FILE", help="a file that holds the token; - for standard input"
    )
    enrolling.add_argument("--name", default=socket.gethostname(), help="default: the host's name")
    enrolling.add_argument("--force", action="store_true", help="replace an earlier enrolment")

    run = commands.add_parser("run", help="measure and deliver until stopped")
    run.add_argument("--server", metavar="URL", help="where the server is now, if it has moved")
    run.add_argument(
        "--unpinned", action="store_true",
        help="leave no eBPF program behind: nothing is counted by it while the agent is stopped",
    )  # fmt: skip
    status = commands.add_parser("status", help="show identity, spool and quarantine")
    status.add_argument("--json", action="store_true", help="one JSON object")
    requeue = commands.add_parser("requeue", help="send again what is in quarantine")
    rotating = commands.add_parser("rotate-key", help="sign with a new key from now on")
    rotating.add_argument(
        "--server", metavar="URL", help="where the server is now, if it has moved"
    )
    attach = commands.add_parser(
        "attach", help="as root: load the eBPF program for an agent with a user of its own"
    )
    once = commands.add_parser("once", help="measure one short window")
    once.add_argument(
        "--dry-run", action="store_true", required=True, help="print it; nothing is sent"
    )
    for command in (enrolling, run, status, requeue, rotating, attach):
        command.add_argument("--state", required=True, type=Path, metavar="DIR")
    for command in (run, once):
        command.add_argument("--config", type=Path, metavar="FILE", help="TOML")
    commands_install.add_to(commands)
    return parser


def _print_status(report: dict[str, object]) -> None:
    for name, value in report.items():
        if name == "oldest_pending_at" and isinstance(value, float):
            print(f"oldest pending at: {stamp(int(value * 1_000))}")
        elif name != "quarantine" and value is not None:
            shown = value if isinstance(value, str) else json.dumps(value)
            print(f"{name.replace('_', ' ')}: {shown}")
    held = report.get("quarantine")
    for batch in held if isinstance(held, list) else []:
        print(
            f"quarantined batch {batch['sequence']}: {batch['samples']} samples,"
            f" status {batch['status']}, {batch['reason']}"
        )


def _execute(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "enrol":
            identity = enrol(
                StateDirectory(arguments.state),
                server_url=arguments.server,
                token=arguments.token or read_token(arguments.token_file),
                name=arguments.name,
                force=arguments.force,
                now=datetime.now(UTC),
            )
            print(f"enrolled as {identity.name}, host {identity.host}")
        case "run":
            running.run(
                StateDirectory(arguments.state),
                load_config(arguments.config),
                server_url=arguments.server,
                pinned=not arguments.unpinned,
            )
        case "status":
            report = running.status(StateDirectory(arguments.state))
            if arguments.json:
                print(json.dumps(report))
            else:
                _print_status(report)
        case "requeue":
            queued, staying = quarantine.requeue(StateDirectory(arguments.state), now=time.time())
            stay = f"; {staying} of former identities stay" if staying else ""
            print(f"{queued} samples are queued again{stay}")
        case "rotate-key":
            key_id = rotation.rotate_now(
                StateDirectory(arguments.state), server_url=arguments.server, now=time.time()
            )
            print(f"signing with key {key_id}; the former one expires in a day")
        case "attach":
            print(flows.attach_for(arguments.state))
        case "once":
            print(running.dry_run(load_config(arguments.config), seconds=_DRY_RUN_SECONDS))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        if arguments.command in commands_install.NAMES:
            return commands_install.execute(arguments)
        _execute(arguments)
    except AgentError as error:
        print(f"hostmeter-agent: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
