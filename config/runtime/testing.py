"""`manage.py test`: servers of its own in a temporary folder, pytest, nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

import psycopg

from config.runtime import ports, secrets_file
from config.runtime.home import REPOSITORY, Home, remove_servers_data, temporary_home
from config.runtime.postgres import OWNER, SUPERUSER, Postgres
from config.runtime.processes import described_end
from config.runtime.servers import plan_servers, start_servers
from config.runtime.signals import StopRequested, Waiting
from config.runtime.supervisor import Supervisor

STOP_ORDER = (("postgres", "valkey"),)
# The whole suite is spread over the cores, a file staying whole: its tests share what it starts.
# In the order of the suite, which begins with the long ones.
WHOLE_SUITE = ("--numprocesses=logical", "--dist=loadfile", "--no-loadscope-reorder")
INTERRUPTED = 128 + signal.SIGINT


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments, without any the whole suite; its exit status.

    Raises CannotRun.
    """
    home = temporary_home()
    waiting = Waiting()
    waiting.install()
    supervisor = Supervisor(home.logs, waiting, lambda line: print(line, file=sys.stderr))
    try:
        home.make()
        environment = _start(home, supervisor)
        return _pytest(arguments or WHOLE_SUITE, environment, waiting)
    except StopRequested:
        return INTERRUPTED
    finally:
        supervisor.stop(STOP_ORDER)
        remove_servers_data(home.folder)
        shutil.rmtree(home.folder, ignore_errors=True)


def _start(home: Home, supervisor: Supervisor) -> dict[str, str]:
    secrets = secrets_file.load_or_create(home.secrets)
    chosen = {name: ports.any_free() for name in ports.DEFAULTS}
    # Servers named in the caller's environment are never used: tests create and drop databases.
    servers = plan_servers(home.folder, chosen, secrets, {}, throwaway=True)
    start_servers(servers, supervisor)
    if servers.postgres is not None:
        _let_the_owner_empty_tables(servers.postgres)
    settings = {"SECRET_KEY": secrets["SECRET_KEY"], "HOSTMETER_HOME": str(home.folder)}
    # By name in the environment: this is read before Django's settings, in every process of a run.
    settings["PYTEST_PLUGINS"] = "tests.apart"
    # Hundreds of processes load the product in a run; each would compile it anew.
    settings["PYTHONPYCACHEPREFIX"] = str(home.folder / "bytecode")
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    return environment | servers.variables() | settings


def _let_the_owner_empty_tables(postgres: Postgres) -> None:
    """Between tests, rows go that triggers and foreign keys would keep."""
    with psycopg.connect(
        host=ports.LOOPBACK,
        port=postgres.port,
        user=SUPERUSER,
        password=postgres.superuser_password,
        dbname="postgres",
    ) as server:
        server.execute(f"GRANT SET ON PARAMETER session_replication_role TO {OWNER}".encode())


def _pytest(arguments: Sequence[str], environment: dict[str, str], waiting: Waiting) -> int:
    # In our own process group: Ctrl-C in a terminal reaches pytest too, which then reports.
    command = [sys.executable, "-m", "pytest", *arguments]
    process = subprocess.Popen(command, env=environment, cwd=REPOSITORY)
    while process.poll() is None:
        try:
            waiting.pause(1)
        except StopRequested:
            waiting.accept()
            _interrupt(process)
    status = process.returncode
    if status < 0:
        print(f"pytest: {described_end(status)}", file=sys.stderr)
        return 128 - status
    return status


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Pass the request on; from a terminal pytest has it already, and twice means at once."""
    if not sys.stdin or not sys.stdin.isatty():
        process.send_signal(signal.SIGINT)
