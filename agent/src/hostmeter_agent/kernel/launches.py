"""Process starts by application, from the kernel's proc connector.

A launch is a new process: a fork that makes no mere thread. It counts once, for the application
that the process was last seen in; a program that a forked process executes is the same launch, and
one that replaces another in an old process is none. A process that nobody has seen, because it had
ended by the next look, is its parent's application's, as its CPU time is.
"""

import ctypes
import errno
import logging
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.readings import UNATTRIBUTED
from hostmeter_agent.measure.receiving import make_room
from hostmeter_agent.measure.scan import Scan

log = logging.getLogger("hostmeter_agent")

METER: Final = "launches"
EXACT: Final = Measured("exact", "proc-connector/1")
AT_LEAST: Final = Measured("lower_bound", "proc-connector/1")

_NETLINK_CONNECTOR: Final = 11
_INDEX, _VALUE = 1, 1
_LISTEN: Final = 1
_ANSWER, _FORK = 0, 1
_SO_ATTACH_FILTER: Final = 26
_BUFFER_BYTES: Final = 32 * 1024 * 1024
"""A message takes about 1 kB of it: room for some 30,000 starts between two looks."""
_MESSAGE_BYTES: Final = 4_096
_ANSWER_SECONDS: Final = 2.0
_PENDING_MAX: Final = 500_000
_LOOKS: Final = 3
# Offsets in a message: netlink header 16, connector header 20, then struct proc_event.
_NUMBER_AT, _WHAT_AT, _DATA_AT = 28, 36, 52
_PARENT_AT, _CHILD_AT, _CHILD_GROUP_AT = _DATA_AT + 4, _DATA_AT + 8, _DATA_AT + 12
# Instructions of classic BPF: load a word, copy it to X, compare, return.
_LOAD, _TO_X, _IF_SAME, _IF_X, _RETURN = 0x20, 0x07, 0x15, 0x1D, 0x06


class Fork(NamedTuple):
    """A process that began."""

    pid: int
    ppid: int


class LaunchesUnavailable(Exception):
    """The kernel does not tell of process starts here; the text says why."""


def parse_fork(message: bytes | bytearray, size: int) -> Fork | None:
    """The process that one message of `size` bytes tells of; None for a thread or another event."""
    if size < _CHILD_GROUP_AT + 4:
        return None
    if int.from_bytes(message[_WHAT_AT : _WHAT_AT + 4], "little") != _FORK:
        return None
    ppid, pid, group = struct.unpack_from("=III", message, _PARENT_AT)
    return Fork(pid, ppid) if pid == group else None


def _answers(message: bytes | bytearray, number: int) -> bool:
    """Whether a message is the kernel's answer to the subscription of that number."""
    told: int = struct.unpack_from("=I", message, _NUMBER_AT)[0]
    what: int = struct.unpack_from("=I", message, _WHAT_AT)[0]
    return what == _ANSWER and told == number + 1


def _filter() -> bytes:
    """A program for the socket that lets pass what parse_fork wants and drops all else before it
    takes room. It sees words in the network's order."""
    program = (
        (_LOAD, 0, 0, _WHAT_AT),
        (_IF_SAME, 0, 4, socket.htonl(_FORK)),
        (_LOAD, 0, 0, _CHILD_AT),
        (_TO_X, 0, 0, 0),
        (_LOAD, 0, 0, _CHILD_GROUP_AT),
        (_IF_X, 1, 0, 0),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _MESSAGE_BYTES),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


class ForkListener:
    """A subscription to the start of every process of the host."""

    def __init__(self) -> None:
        """Subscribe. Raises LaunchesUnavailable."""
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR
            )
        except OSError as error:
            raise LaunchesUnavailable(error.strerror) from error
        self._buffer = bytearray(_MESSAGE_BYTES)
        try:
            self._socket.bind((0, _INDEX))
            make_room(self._socket, _BUFFER_BYTES)
            self._subscribe()
            self._attach_filter()
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise LaunchesUnavailable(error.strerror or str(error)) from error
        except LaunchesUnavailable:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def drain(self) -> tuple[list[Fork], bool]:
        """What has begun since the last call, in order, and whether some was lost."""
        forks: list[Fork] = []
        lost = False
        receive, buffer = self._socket.recv_into, self._buffer
        while True:
            try:
                size = receive(buffer)
            except BlockingIOError:
                return forks, lost
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True  # the kernel had no room; what follows is still good
                continue
            fork = parse_fork(buffer, size)
            if fork is not None:
                forks.append(fork)

    def _subscribe(self) -> None:
        """Ask for events and wait for the kernel's answer: outside the initial namespaces it
        neither answers nor sends any."""
        payload = struct.pack("=I", _LISTEN)
        # Answers go to everyone who listens: ours bears the number after ours.
        number = int.from_bytes(os.urandom(3), "little")
        connector = struct.pack("=IIIIHH", _INDEX, _VALUE, 0, number, len(payload), 0)
        body = connector + payload
        self._socket.send(struct.pack("=IHHII", 16 + len(body), 3, 0, 0, os.getpid()) + body)
        self._socket.settimeout(_ANSWER_SECONDS)
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            try:
                size = self._socket.recv_into(self._buffer)
            except TimeoutError:
                break
            if size >= _DATA_AT + 4 and _answers(self._buffer, number):
                code = struct.unpack_from("=I", self._buffer, _DATA_AT)[0]
                if code:
                    raise LaunchesUnavailable(os.strerror(code))
                return
        raise LaunchesUnavailable("the kernel tells only in the initial namespaces")

    def _attach_filter(self) -> None:
        program = _filter()
        held = ctypes.create_string_buffer(program, len(program))
        pointer = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class LaunchesProbe(Probe):
    """Counts process starts."""

    name = METER

    def __init__(self, listener: ForkListener, application_of: Callable[[int], str | None]) -> None:
        """application_of: of a process that a look has seen since the last scan but one."""
        self._listener = listener
        self._application_of = application_of
        self._begun: dict[int, str] = {}
        """By number, in the order of their start, the application so far."""
        self._counts: dict[str, int] = {}
        """By application, of those whose numbers were used again."""
        self._late: dict[int, str] = {}
        """Began when the scan had already listed all numbers: the next one finds out what of."""
        self._last: dict[int, str] = {}
        self._recent: deque[set[int]] = deque(maxlen=_LOOKS)
        """Those that the last looks found."""
        self._lost = True

    def application_of(self, pid: int) -> str | None:
        """Of a process that began since the last stored step or was in the last scan."""
        return self._begun.get(pid) or self._last.get(pid)

    def watch(self) -> None:
        self._take_in()
        # They may have executed another program since. A look that finds one finds it at once or,
        # if it began just after that look, at the next, and then looks once more.
        for pid in set().union(*self._recent):
            if pid in self._begun:
                self._begun[pid] = self._application_of(pid) or self._begun[pid]

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        fresh = self._take_in()
        processes = scan.table.processes
        counts = dict.fromkeys(scan.gauges, 0)
        self._late = {}
        for pid, so_far in self._begun.items():
            if pid not in processes and pid in fresh and _is_alive(pid):
                self._late[pid] = so_far
                continue
            name = processes[pid].application if pid in processes else so_far
            self._begun[pid] = name
            counts[name] = counts.get(name, 0) + 1
        for name, count in self._counts.items():
            counts[name] = counts.get(name, 0) + count
        self._last = {pid: reading.application for pid, reading in processes.items()}
        return Readings(
            counters={name: {METER: count} for name, count in counts.items()},
            default={METER: AT_LEAST if self._lost else EXACT},
        )

    def stored(self) -> None:
        self._begun, self._counts, self._late = self._late, {}, {}
        self._lost = False

    def close(self) -> None:
        self._listener.close()

    def _take_in(self) -> set[int]:
        """Book what has begun since the last time; returns the numbers."""
        forks, lost = self._listener.drain()
        if lost:
            log.warning("the kernel dropped process starts: launches are a lower bound")
        self._lost |= lost
        if len(self._begun) + len(forks) > _PENDING_MAX:
            for pid in list(self._begun):
                self._settle(pid)
        for pid, ppid in forks:
            if pid in self._begun:
                self._settle(pid)
            self._begun[pid] = self._application_of(pid) or self._of_parent(ppid)
        fresh = {fork.pid for fork in forks}
        self._recent.append(fresh)
        return fresh

    def _settle(self, pid: int) -> None:
        """Nothing more will be found out about this one."""
        name = self._begun.pop(pid)
        self._counts[name] = self._counts.get(name, 0) + 1

    def _of_parent(self, ppid: int) -> str:
        known = self._application_of(ppid) or self._begun.get(ppid)
        return known or self._last.get(ppid, UNATTRIBUTED)


class NoLaunches(Probe):
    """Stands where the kernel does not tell of process starts."""

    name = METER

    def application_of(self, pid: int) -> str | None:
        """Nobody has told."""
        return None

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        return Readings(default={METER: Measured("unavailable", EXACT.method)})


def open_launches(application_of: Callable[[int], str | None]) -> "LaunchesProbe | NoLaunches":
    """The probe for this host; where it can't be had, the log says why."""
    try:
        return LaunchesProbe(ForkListener(), application_of)
    except LaunchesUnavailable as error:
        log.warning("no process starts (%s): launches are not metered", error)
        return NoLaunches()
