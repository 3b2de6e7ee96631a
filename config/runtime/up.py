"""`manage.py up`: start everything, tell how to use it, supervise it, stop it in order."""

import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from config.runtime import logs, parts
from config.runtime.arguments import OneLineParser
from config.runtime.failure import CannotRun
from config.runtime.home import REPOSITORY, Home
from config.runtime.installation import Installation, plan_installation
from config.runtime.progress import process_age_s, say
from config.runtime.signals import StopRequested, Waiting
from config.runtime.starting import start_everything
from config.runtime.state import read_state, running_process, take_lock
from config.runtime.supervisor import Supervisor

LOCK_WAIT_S = 1.0
INTERRUPTED = 130
# Tells the supervisor of a detached `up` that it is one, and when its user began to wait.
DETACHED_SINCE = "HOSTMETER_DETACHED_SINCE"


def up(home: Home, arguments: Sequence[str]) -> int:
    """Carry out `up`; the exit status. Raises CannotRun."""
    options = _options(arguments)
    home.make()
    if running_process(home) is not None:
        raise CannotRun(_already_running(home))
    if options.reset and not options.yes:
        _ask_before_reset(home)
    if options.detach:
        return _detach(home, reset=options.reset)
    return _supervise(home, reset=options.reset)


def _options(arguments: Sequence[str]) -> Namespace:
    parser = OneLineParser("manage.py up", description="Start everything on this machine.")
    parser.add_argument("--detach", action="store_true", help="return when everything is ready")
    parser.add_argument("--reset", action="store_true", help="start clean: removes all data here")
    parser.add_argument("--yes", action="store_true", help="reset without asking")
    return parser.parse_args(arguments)


def _already_running(home: Home) -> str:
    state = read_state(home)
    where = f" at {state['portal']}" if state else ""
    return f"already running here{where}; see `python3 manage.py status`"


def _ask_before_reset(home: Home) -> None:
    if not sys.stdin.isatty():
        raise CannotRun("--reset asks before it removes data: add --yes where nobody can answer")
    say(f"This removes all data, passwords and logs in {home.folder}.")
    if input('Type "yes" to go on: ').strip().lower() != "yes":
        raise CannotRun("nothing was removed")


def _supervise(home: Home, *, reset: bool) -> int:
    lock = _lock(home)
    waiting = Waiting()
    waiting.install()
    supervisor = Supervisor(home.logs, waiting, _announce)
    status = INTERRUPTED
    try:
        if reset:
            home.clear()
        say(f"Starting Hostmeter; its data lies in {home.folder}")
        installation = plan_installation(home)
        start_everything(installation, supervisor)
        _summarize(installation)
        if DETACHED_SINCE in os.environ:
            _continue_without_terminal(home)
        status = 0
        supervisor.watch()
    except StopRequested:
        say("Stopping.")
    finally:
        home.environment.unlink(missing_ok=True)
        supervisor.stop(parts.STOP_ORDER)
        os.close(lock)
    say("Stopped.")
    return status


def _lock(home: Home) -> int:
    give_up_at = time.monotonic() + LOCK_WAIT_S
    while (lock := take_lock(home)) is None:
        if time.monotonic() > give_up_at:
            raise CannotRun(_already_running(home))
        time.sleep(0.05)
    return lock


def _announce(line: str) -> None:
    say(f"{time.strftime('%H:%M:%S')} {line}")


def _summarize(installation: Installation) -> None:
    since = os.environ.get(DETACHED_SINCE)
    seconds = time.time() - float(since) if since else process_age_s()
    stop = "python3 manage.py stop" if since else "Ctrl-C, or python3 manage.py stop"
    say(f"Ready in {seconds:.1f} s")
    say()
    say(f"Portal    {installation.url}/")
    say(f"Admin     {installation.url}/admin/")
    for user in installation.users:
        say(f"User      {user['name']:<36} {user['role']:<10} {user['tenant'] or 'all tenants'}")
    say(f"Password  {installation.demo_password}   (the same for each of them)")
    say(f"Payments  {_payments(installation)}")
    say(f"Data      {installation.home.folder}")
    say(f"Stop      {stop}")
    say("Reset     python3 manage.py up --reset")


def _payments(installation: Installation) -> str:
    if not installation.fake_stripe_url:
        return "Stripe, as STRIPE_SECRET_KEY and STRIPE_API_BASE say"
    return (
        f"the fake Stripe at {installation.fake_stripe_url}: no money moves"
        " (set STRIPE_SECRET_KEY for Stripe)"
    )


def _continue_without_terminal(home: Home) -> None:
    """The waiting `up --detach` sees its pipe close and returns; what follows goes to a log."""
    output = logs.open_log(home.logs / "up.log")
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    os.close(output)


def _detach(home: Home, *, reset: bool) -> int:
    """Start a supervisor of its own session and pass its words on until it is ready."""
    options = ["--reset", "--yes"] if reset else []
    started_at = time.time() - process_age_s()
    waiting = Waiting()
    waiting.install()
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "manage.py"), "up", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=Path("/"),
        env=dict(os.environ)
        | {DETACHED_SINCE: f"{started_at:.3f}", "HOSTMETER_HOME": str(home.folder)},
    )
    _pass_on(process, waiting)
    state = read_state(home)
    if process.poll() is None and state is not None and state["ready"]:
        process.returncode = 0  # it is to outlive us: not ours to wait for
        return 0
    return process.wait()


def _pass_on(process: "subprocess.Popen[bytes]", waiting: Waiting) -> None:
    assert process.stdout is not None  # noqa: S101  it was asked for
    descriptor = process.stdout.fileno()
    while True:
        try:
            ready = waiting.readable(descriptor)
        except StopRequested:
            waiting.accept()
            process.terminate()
            continue
        if ready:
            text = os.read(descriptor, 65536)
            if not text:
                return
            os.write(sys.stdout.fileno(), text)
