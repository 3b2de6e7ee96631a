"""The one gate through which every child process starts."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from config.runtime.home import REPOSITORY

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec nothing may be loaded.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """A user that a child process changes to."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """A child process to be: what to run, as whom, and what ends it when its parent is gone."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    folder: Path = REPOSITORY
    standard_input: bytes = b""
    death_signal: signal.Signals = signal.SIGKILL
    descriptors: tuple[int, ...] = ()


def die_with_parent(death_signal: int, parent: int) -> None:
    """Ask the kernel for `death_signal` when process `parent` ends, however it ends."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above took effect
        os.kill(os.getpid(), signal.SIGKILL)


def _before_exec(death_signal: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()
    # Runs after the change of user, which would clear the death signal.
    return lambda: die_with_parent(death_signal, parent)


def spawn(command: Command, output: BinaryIO | int) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, so that the terminal's Ctrl-C stays with us.

    Call it from the main thread only: the kernel takes the end of the starting thread for the
    parent's. Raises OSError when the program cannot be started.
    """
    account = command.account
    process = subprocess.Popen(
        list(command.arguments),
        env=dict(command.environment),
        cwd=command.folder,
        stdin=subprocess.PIPE if command.standard_input else subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        umask=0o077 if account else -1,
        pass_fds=command.descriptors,
        preexec_fn=_before_exec(command.death_signal),  # noqa: PLW1509  no other threads run
    )
    _feed(process, command.standard_input)
    return process


def _feed(process: subprocess.Popen[bytes], text: bytes) -> None:
    if process.stdin is None:
        return
    try:
        with process.stdin as pipe:
            pipe.write(text)
    except BrokenPipeError:
        pass  # it has ended already; whoever waits for it says why


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended, without reaping it: until then its process group's number is ours."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the process and what it started; call before it is reaped."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def reap(process: subprocess.Popen[bytes]) -> int:
    """End whatever it left in its group, then collect its exit status (negative: a signal)."""
    signal_group(process, signal.SIGKILL)
    return process.wait()


def described_end(status: int) -> str:
    """An exit status in words: "exit status 3", "killed by SIGKILL"."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
