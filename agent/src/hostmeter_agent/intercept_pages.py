"""The pages that intercepted programs count in: one file of fixed size for each process.

The layout is that of agent/intercept/page.h. A page is written by the process that it tells of,
so nothing in it is taken for more than that process's own word.
"""

import os
import re
import stat
import struct
from typing import Final, NamedTuple

from hostmeter_agent.proc import RESOURCE_KINDS

VERSION: Final = 1
PAGE_BYTES: Final = 4096
PAGES_MAX: Final = 16_384

_MAGIC: Final = int.from_bytes(b"HMTICP01", "little")
_NAME: Final = re.compile(r"[1-9][0-9]{0,9}-[1-9][0-9]{0,18}(\.[1-3])?", re.ASCII)
_HEAD: Final = struct.Struct("=QIIIIQII16sQ")
_ROW: Final = struct.Struct("=QQQqQQQQ")
_ROWS_AT: Final = 128
_ROWS: Final = (*RESOURCE_KINDS, "network")
_CGROUP_AT: Final = 1024
_CGROUP_BYTES_MAX: Final = 1024
_NETWORK_UNCOUNTED: Final = 1


class Row(NamedTuple):
    """One kind of resource. `open` is how many descriptors there are, everything else a count
    since the process began; bytes are those of successful calls."""

    opened: int
    duplicated: int
    closed: int
    open: int
    read: int
    written: int
    accepted: int
    connected: int


class Page(NamedTuple):
    """One page's values at one moment. owner: the user that made the file."""

    pid: int
    start: int
    parent: int
    owner: int
    pid_namespace: int
    name: str
    cgroup: bytes
    network_uncounted: bool
    rows: dict[str, Row]

    @property
    def opened(self) -> tuple[int, ...]:
        """Resources opened, by RESOURCE_KINDS; one of the network is a socket."""
        rows = self.rows
        return tuple(
            rows[kind].opened + (rows["network"].opened if kind == "socket" else 0)
            for kind in RESOURCE_KINDS
        )


class UnreadablePage(ValueError):
    """The file is no page, or one of a version that this agent does not know."""


def parse(data: bytes, *, owner: int) -> Page:
    """Raises UnreadablePage."""
    if len(data) != PAGE_BYTES:
        raise UnreadablePage(f"{len(data)} bytes long")
    magic, version, size, pid, parent, start, flags, cgroup_bytes, name, namespace = (
        _HEAD.unpack_from(data)
    )
    if (magic, version, size) != (_MAGIC, VERSION, PAGE_BYTES):
        raise UnreadablePage(f"not a page of version {VERSION}")
    rows = {
        kind: Row(*_ROW.unpack_from(data, _ROWS_AT + index * _ROW.size))
        for index, kind in enumerate(_ROWS)
    }
    cgroup = data[_CGROUP_AT : _CGROUP_AT + min(cgroup_bytes, _CGROUP_BYTES_MAX)]
    comm = name.split(b"\0", 1)[0].decode(errors="replace")
    uncounted = bool(flags & _NETWORK_UNCOUNTED)
    return Page(pid, start, parent, owner, namespace, comm, cgroup, uncounted, rows)


def names(directory: str) -> tuple[list[str], bool]:
    """The files that are named as pages, and whether that is all of them.

    Raises OSError when the directory cannot be listed."""
    found: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) is None:
                continue
            if len(found) == PAGES_MAX:
                return found, False
            found.append(entry.name)
    return found, True


def process_of(name: str) -> tuple[int, int]:
    """The pid and the start time that a page's name tells."""
    pid, start = name.split(".")[0].split("-")
    return int(pid), int(start)


def read(directory: str, name: str) -> Page:
    """Read a page. Raises OSError, or UnreadablePage when it is none or not what its name says."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(f"{directory}/{name}", flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadablePage("not a regular file")
        page = parse(os.read(descriptor, PAGE_BYTES + 1), owner=status.st_uid)
    finally:
        os.close(descriptor)
    if (page.pid, page.start) != process_of(name):
        raise UnreadablePage("of another process than its name says")
    return page
