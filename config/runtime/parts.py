"""The product's own programs: web, worker, beat and the agent of this machine."""

import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.runtime.failure import CannotRun
from config.runtime.health import is_healthy
from config.runtime.home import REPOSITORY, Home
from config.runtime.ports import LOOPBACK
from config.runtime.processes import Command
from config.runtime.supervisor import Part, Started

WORKER_PROCESSES = 2
# A pool process is renewed after so many tasks or so much memory: slow leaks stay harmless.
TASKS_PER_PROCESS_MAX = 1000
PROCESS_MEMORY_KB_MAX = 400_000
SHARED_MEMORY = "/dev/shm"  # noqa: S108
AGENT_SETTLES_S = 0.5

STOP_ORDER = (
    ("agent",),  # first, while the server can still take its last batch
    ("beat", "web", "worker"),
    ("fake-stripe",),
    ("postgres", "valkey"),
)


def listening_socket(name: str, port: int) -> socket.socket:
    """The listening socket of the web or the fake Stripe, kept by the supervisor: nobody takes the
    port before they start, and while they restart, clients wait in its queue instead of being
    refused. Raises CannotRun."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise CannotRun(f"{name}: port {port} cannot be opened: {error.strerror}") from None
    listener.listen(1024)
    return listener


def web(listener: socket.socket, environment: Mapping[str, str]) -> Part:
    descriptor, port = listener.fileno(), listener.getsockname()[1]
    command = Command(
        python(
            "gunicorn",
            *("--config", "python:config.runtime.gunicorn_conf"),
            *("--bind", f"fd://{descriptor}"),
            "config.wsgi:application",
        ),
        environment,
        descriptors=(descriptor,),
    )
    return Part(
        "web",
        command,
        # Only once a worker runs: the socket itself accepts from the start, and would keep us.
        is_ready=lambda started: (
            started.has_logged(b"Booting worker") and is_healthy(LOOPBACK, port)
        ),
        start_timeout_s=60,
        stop_timeout_s=15,
    )


def worker(environment: Mapping[str, str]) -> Part:
    options = ["--concurrency", str(WORKER_PROCESSES), "--loglevel", "INFO", *worker_pool()]
    # There is one worker: nobody to gossip with, and asking costs a second at each start.
    options += ["--without-gossip", "--without-mingle"]
    command = Command(python("celery", "-A", "config", "worker", *options), environment)
    return Part(
        "worker",
        command,
        is_ready=lambda started: started.has_logged(b" ready."),
        start_timeout_s=60,
        # A task in progress may finish; one that is cut off is delivered again.
        stop_timeout_s=20,
    )


def worker_pool(shared_memory: str = SHARED_MEMORY) -> list[str]:
    """Processes, which can be ended and renewed; they share semaphores, which live in /dev/shm.
    Threads where it cannot be written to, as in some bare containers."""
    if not os.access(shared_memory, os.W_OK | os.X_OK):
        return ["--pool", "threads"]
    limits = ["--max-tasks-per-child", str(TASKS_PER_PROCESS_MAX)]
    return ["--pool", "prefork", *limits, "--max-memory-per-child", str(PROCESS_MEMORY_KB_MAX)]


def beat(environment: Mapping[str, str], home: Home) -> Part:
    options = ["--loglevel", "INFO", "--pidfile=", "--schedule"]
    schedule = str(home.folder / "celerybeat-schedule")
    command = Command(python("celery", "-A", "config", "beat", *options, schedule), environment)
    return Part(
        "beat",
        command,
        is_ready=lambda started: started.has_logged(b"beat: Starting"),
        start_timeout_s=60,
    )


def fake_stripe(listener: socket.socket, state: Path, webhooks: Sequence[str]) -> Part:
    """The fake Stripe, delivering its events to these addresses of ours."""
    descriptor = listener.fileno()
    options = [option for url in webhooks for option in ("--webhook", url)]
    arguments = python(
        "billing.fake_stripe", "--listener", str(descriptor), "--state", str(state), *options
    )
    # Stripe knows none of our secrets, and neither does the fake.
    return Part(
        "fake-stripe",
        Command(arguments, _bare_environment(os.environ), descriptors=(descriptor,)),
        is_ready=lambda started: started.has_logged(b"Listening on "),
    )


def agent(state: Path, url: str, environment: Mapping[str, str]) -> Part:
    # With the address of today: the web's port may have been taken since the agent was enrolled.
    arguments = _agent("run", "--unpinned", "--state", str(state), "--server", url)
    command = Command(arguments, agent_environment(environment))

    def has_settled(started: Started) -> bool:
        return time.monotonic() - started.at > AGENT_SETTLES_S

    return Part("agent", command, is_ready=has_settled)


def agent_enrolment(state: Path, url: str, token: str, environment: Mapping[str, str]) -> Command:
    # By force: this is asked for where `up` knows of no enrolment, so one that is there was
    # interrupted.
    options = ["--force", "--server", url, "--state", str(state), "--token-file", "-"]
    # By standard input: arguments are for everyone to see.
    return Command(
        _agent("enrol", *options), agent_environment(environment), standard_input=token.encode()
    )


def agent_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What the agent needs: it knows the server by its URL only, and none of its secrets."""
    return _bare_environment(environment) | {"PYTHONPATH": str(REPOSITORY / "agent" / "src")}


def _bare_environment(environment: Mapping[str, str]) -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
    values = {name: environment[name] for name in kept if name in environment}
    return values | {"PYTHONUNBUFFERED": "1"}


def part_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What a part of the server is started with: what leads past row-level security is left out."""
    merged = dict(os.environ) | dict(variables) | {"PYTHONUNBUFFERED": "1"}
    return {name: value for name, value in merged.items() if not _is_private(name)}


def _is_private(name: str) -> bool:
    password = name.startswith("HOSTMETER_") and name.endswith("_PASSWORD")
    return password or name in {"DATABASE_URL", "ADMIN_DATABASE_URL"}


def python(module: str, *arguments: str) -> list[str]:
    """A module of this environment as a command."""
    return [sys.executable, "-m", module, *arguments]


def manage(command: str) -> list[str]:
    return [sys.executable, str(REPOSITORY / "manage.py"), command]


def _agent(*arguments: str) -> list[str]:
    return python("hostmeter_agent", *arguments)
