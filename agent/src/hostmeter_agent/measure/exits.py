"""Exit records of the kernel's taskstats interface: each process's CPU time to its very end.

Generic netlink with nothing but socket and struct. Needs CAP_NET_ADMIN in the initial user
namespace and a kernel with CONFIG_TASKSTATS; without them the caller falls back to what parents
say about the children that they waited for.
"""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from hostmeter_agent.measure.receiving import make_room

_NETLINK_GENERIC: Final = 16
_CONTROL_FAMILY: Final = 16
_GET_FAMILY: Final = 3
_ATTR_FAMILY_ID: Final = 1
_ATTR_FAMILY_NAME: Final = 2
_TASKSTATS_GET: Final = 1
_ATTR_REGISTER_CPUS: Final = 3
_TYPE_ID_OF_PROCESS, _TYPE_ID_OF_GROUP, _TYPE_STATS = 1, 2, 3
_TYPE_PROCESS, _TYPE_GROUP = 4, 5
_NLMSG_ERROR: Final = 2
_REQUEST, _ACKNOWLEDGE = 1, 4
_HEADERS_BYTES: Final = 20
_BUFFER_BYTES: Final = 16 * 1024 * 1024
"""For those that end between two looks."""
_MESSAGE_BYTES_MAX: Final = 65_536
# struct taskstats, whose layout only ever grows at its end.
_FLAG_AT, _RUN_TIME_AT, _PARENT_AT = 8, 72, 132
_LAST_OF_GROUP: Final = 0x20


class Exit(NamedTuple):
    """A process that has ended: its whole CPU time in µs, and its parent then."""

    pid: int
    ppid: int
    cpu_us: int


class ExitsUnavailable(Exception):
    """The kernel gives no exit records here; the text says why."""


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def _stats(data: bytes) -> bytes | None:
    return next((value for kind, value in _attributes(data) if kind == _TYPE_STATS), None)


def _identifier(data: bytes) -> int:
    for kind, value in _attributes(data):
        if kind in (_TYPE_ID_OF_PROCESS, _TYPE_ID_OF_GROUP) and len(value) >= 4:
            return int(struct.unpack("=I", value[:4])[0])
    return 0


def parse_exit(message: bytes) -> Exit | None:
    """The process that ended, from one netlink message; None where only a thread did."""
    parts = dict(_attributes(message[_HEADERS_BYTES:]))
    task, group = parts.get(_TYPE_PROCESS), parts.get(_TYPE_GROUP)
    task_stats = _stats(task) if task is not None else None
    if task_stats is None or len(task_stats) < _PARENT_AT + 4:
        return None
    whole, owner = (task_stats, task) if group is None else (_stats(group), group)
    if whole is None or owner is None or len(whole) < _RUN_TIME_AT + 8:
        return None
    if group is None and not task_stats[_FLAG_AT] & _LAST_OF_GROUP:
        return None
    run_time_ns = struct.unpack_from("=Q", whole, _RUN_TIME_AT)[0]
    ppid = struct.unpack_from("=I", task_stats, _PARENT_AT)[0]
    return Exit(_identifier(owner), ppid, run_time_ns // 1_000)


def _cpus(possible: Path) -> str:
    """The processors of the machine, as the kernel lists them: "0-3"."""
    try:
        return possible.read_text().strip()
    except OSError:  # no /sys, as in some bare containers
        return f"0-{(os.cpu_count() or 1) - 1}"


class ExitListener:
    """A subscription to the exits of every process of the host."""

    def __init__(self, possible_cpus: Path = Path("/sys/devices/system/cpu/possible")) -> None:
        """Subscribe. Raises ExitsUnavailable."""
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
        except OSError as error:
            raise ExitsUnavailable(error.strerror) from error
        try:
            self._socket.settimeout(2)
            self._socket.bind((0, 0))
            make_room(self._socket, _BUFFER_BYTES)
            self._subscribe(_cpus(possible_cpus))
            self._socket.setblocking(False)
            self._buffer = memoryview(bytearray(_MESSAGE_BYTES_MAX))
        except (OSError, struct.error) as error:
            self._socket.close()
            raise ExitsUnavailable(str(error)) from error

    def close(self) -> None:
        self._socket.close()

    def drain(self) -> tuple[list[Exit], bool]:
        """What has ended since the last call, in order, and whether records were lost."""
        exits: list[Exit] = []
        lost = False
        while True:
            try:
                size = self._socket.recv_into(self._buffer)
            except BlockingIOError:
                return exits, lost
            except OSError:
                lost = True  # ENOBUFS: the kernel had no room; what follows is still good
                continue
            exit_ = parse_exit(bytes(self._buffer[:size]))
            if exit_ is not None:
                exits.append(exit_)

    def _request(self, family: int, command: int, payload: bytes, flags: int) -> bytes:
        """One request and its one answer: asking for data and for an acknowledgement as well
        would leave the latter to be taken for the next answer."""
        body = struct.pack("=BBH", command, 1, 0) + payload
        header = struct.pack("=IHHII", 16 + len(body), family, _REQUEST | flags, 1, 0)
        self._socket.send(header + body)
        answer = self._socket.recv(_MESSAGE_BYTES_MAX)
        if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
            code = -struct.unpack_from("=i", answer, 16)[0]
            if code:
                raise OSError(code, os.strerror(code))
        return answer

    def _subscribe(self, cpus: str) -> None:
        name = _attribute(_ATTR_FAMILY_NAME, b"TASKSTATS\0")
        answer = self._request(_CONTROL_FAMILY, _GET_FAMILY, name, 0)
        families = dict(_attributes(answer[_HEADERS_BYTES:]))
        family = struct.unpack("=H", families.get(_ATTR_FAMILY_ID, b""))[0]
        mask = _attribute(_ATTR_REGISTER_CPUS, cpus.encode() + b"\0")
        self._request(family, _TASKSTATS_GET, mask, _ACKNOWLEDGE)
