"""What the agent and its peers look at: many processes of many applications, mostly asleep.

Run as a script it becomes one small interpreter that forks them all; `running` is the side of the
one who measures. Standard library only, so that the processes stay small.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

APPLICATION = "bench-app-{:02d}"
_STANDARD, _FILES, _SOCKETS, _PIPES = 3, 11, 4, 4
DESCRIPTORS = _STANDARD + _FILES + _SOCKETS + _PIPES
"""Of each process."""
_FOLDER = "/tmp"  # noqa: S108  files without a name
_TURN_SECONDS, _ASLEEP_SECONDS = 1.0, 86_400.0
_ACTIVE_US = 1_000
_SHORT_US = 5_000
_START_SECONDS_MAX = 60
_READY = b"ready\n"
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_CHUNK = b"x" * 4_096


@dataclass(frozen=True, slots=True)
class Workload:
    """Processes in applications; of a hundred, `active_percent` do a little once a second. One a
    second ends and is replaced, and another lives for 5 ms."""

    processes: int = 500
    applications: int = 50
    active_percent: int = 10


@contextmanager
def running(shape: Workload) -> Iterator[int]:
    """The processes while they live: gives the number of the one that forked them.

    Raises OSError when they do not start.
    """
    figures = [str(shape.processes), str(shape.applications), str(shape.active_percent)]
    spawner = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *figures],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        if spawner.stdout is None or spawner.stdout.readline() != _READY:
            raise OSError("the workload's processes did not start")
        yield spawner.pid
    finally:
        spawner.kill()  # its children end with it
        spawner.communicate(timeout=_START_SECONDS_MAX)


def _work(microseconds: int) -> None:
    until = time.thread_time_ns() + microseconds * 1_000
    while time.thread_time_ns() < until:
        pass


def _prctl(option: int, argument: object) -> None:
    ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)


def _process(number: int, shape: Workload) -> NoReturn:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_NAME, APPLICATION.format(number % shape.applications).encode())
    os.dup2(0, 1)  # the standard output told that all have started
    files = [os.open(_FOLDER, os.O_TMPFILE | os.O_RDWR) for _ in range(_FILES)]
    held = [socket.socketpair() for _ in range(_SOCKETS // 2)]
    held_too = [os.pipe() for _ in range(_PIPES // 2)]
    turn = number // shape.applications * shape.applications
    active = turn * 100 < shape.processes * shape.active_percent
    while held and held_too:
        time.sleep(_TURN_SECONDS if active else _ASLEEP_SECONDS)
        _work(_ACTIVE_US)
        os.pwrite(files[0], _CHUNK, 0)
    os._exit(0)


def _forked(number: int, shape: Workload) -> int:
    pid = os.fork()
    if not pid:
        _process(number, shape)
    return pid


def _short_lived() -> None:
    pid = os.fork()
    if not pid:
        _work(_SHORT_US)
        os._exit(0)
    os.waitpid(pid, 0)


def main(shape: Workload) -> NoReturn:
    pids = [_forked(number, shape) for number in range(shape.processes)]
    os.write(1, _READY)
    os.close(1)
    while True:
        for number in range(shape.processes - 1, -1, -7):
            time.sleep(_TURN_SECONDS)
            os.kill(pids[number], signal.SIGKILL)
            os.waitpid(pids[number], 0)
            pids[number] = _forked(number, shape)
            _short_lived()


if __name__ == "__main__":
    main(Workload(*map(int, sys.argv[1:])))
