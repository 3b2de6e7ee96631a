"""What a running `up` tells the others: who it is, and how its parts are."""

import fcntl
import json
import os
import struct
from collections.abc import Mapping
from typing import TypedDict

from config.runtime.failure import CannotRun
from config.runtime.home import Home, write_private
from config.runtime.supervisor import PartState

# struct flock of the Linux kernel on 64-bit machines: type, whence, start, length, process.
_FLOCK = "hhqqi4x"


class User(TypedDict):
    name: str
    role: str
    tenant: str | None  # None: of the whole installation


class PartReport(TypedDict):
    state: str
    pid: int | None
    restarts: int


class State(TypedDict):
    """The one object that `status --json` prints."""

    ready: bool
    portal: str
    admin: str
    api: str
    database: str
    users: list[User]
    parts: dict[str, PartReport]


def take_lock(home: Home) -> int | None:
    """Hold the installation until this process ends; None when another process has it.

    The lock is the kernel's and ends with its process, so there is no stale one.
    """
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    return descriptor


def running_process(home: Home) -> int | None:
    """The process of the `up` that runs here, as the kernel knows it from the lock."""
    try:
        descriptor = os.open(home.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise CannotRun(f"{home.folder} belongs to another user") from None
    try:
        wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted))
    finally:
        os.close(descriptor)
    if found[0] == fcntl.F_UNLCK:
        return None
    if found[4] <= 0:
        # A container that shares the folder, or another machine: its processes are not ours.
        raise CannotRun(f"{home.folder} is in use from another container or machine: ask it there")
    return int(found[4])


def write_state(home: Home, state: State) -> None:
    write_private(home.state, json.dumps(state, indent=2) + "\n")


def read_state(home: Home) -> State | None:
    """What the last `up` wrote; None when there is none or it cannot be read."""
    try:
        state: State = json.loads(home.state.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def part_reports(states: Mapping[str, PartState]) -> dict[str, PartReport]:
    return {
        name: {"state": part.state, "pid": part.pid, "restarts": part.restarts}
        for name, part in states.items()
    }
