"""`manage.py status` and `manage.py stop`: they work from anywhere, without a terminal."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from config.runtime.failure import CannotRun
from config.runtime.home import Home
from config.runtime.progress import say
from config.runtime.state import State, read_state, running_process

STOP_WAIT_S = 90
NOT_RUNNING = 1


@dataclass(frozen=True)
class Status:
    """What runs here now; `process` is None when nothing does."""

    process: int | None
    state: State


def current_status(home: Home) -> Status:
    process = running_process(home)
    state = read_state(home)
    if state is None:
        state = {
            "ready": False,
            "portal": "",
            "admin": "",
            "api": "",
            "database": "",
            "users": [],
            "parts": {},
        }
    if process is None:
        # The supervisor may have been killed before it could write this itself.
        state["ready"] = False
        for part in state["parts"].values():
            part["state"] = part["state"] if part["state"] == "given" else "stopped"
            part["pid"] = None
    return Status(process, state)


def print_status(home: Home, *, as_json: bool) -> int:
    """Print what runs here; the exit status: 1 when nothing does."""
    status = current_status(home)
    if as_json:
        say(json.dumps(status.state, indent=2))
    else:
        _print_for_people(status)
    return 0 if status.process else NOT_RUNNING


def _print_for_people(status: Status) -> None:
    state = status.state
    if status.process is None:
        say("Nothing is running here. Start it: python3 manage.py up")
        return
    say(f"{'Ready' if state['ready'] else 'Not ready'}: {state['portal']}")
    for name, part in state["parts"].items():
        process = f"process {part['pid']}" if part["pid"] else ""
        restarts = f"{part['restarts']} restarts" if part["restarts"] else ""
        say(f"  {name:<13}{part['state']:<12}{process:<16}{restarts}".rstrip())


def stop(home: Home) -> int:
    """Ask the running `up` to stop everything and wait until it has; the exit status."""
    process = running_process(home)
    if process is None:
        say("Nothing is running here.")
        return 0
    os.kill(process, signal.SIGTERM)
    give_up_at = time.monotonic() + STOP_WAIT_S
    # It lets go of the lock a moment before it is gone.
    while running_process(home) == process or _is_alive(process):
        if time.monotonic() > give_up_at:
            raise CannotRun(f"process {process} has not stopped within {STOP_WAIT_S} s")
        time.sleep(0.05)
    say("Stopped.")
    return 0


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except OSError:
        return False
