"""The pages that intercepted programs count in: one file of fixed size for each process.

The layout is that of agent/intercept/page.h. A page is written by the process that it tells of,
so nothing in it is taken for more than that process's own word.
"""

import os
import re
import stat
import struct
from typing import Final, NamedTuple

from hostmeter_agent.measure.proc import RESOURCE_KINDS

VERSION: Final = 1
PAGE_BYTES: Final = 4096
PAGES_MAX: Final = 16_384

_MAGIC: Final = int.from_bytes(b"HMTICP01", "little")
_NAME: Final = re.compile(r"[1-9][0-9]{0,9}-[1-9][0-9]{0,18}(\.[1-3])?", re.ASCII)
_HEAD: Final = struct.Struct("=QIIIIQII16xQ")
_ROWS_AT: Final = 128
# What was opened, of five rows; then of the network what was opened, read and written.
_COUNTS: Final = struct.Struct("=" + "Q56x" * len(RESOURCE_KINDS) + "Q24xQQ16x")
_COUNTS_BYTES: Final = _ROWS_AT + _COUNTS.size
_CGROUP_AT: Final = 1024
_CGROUP_BYTES_MAX: Final = 1024
_NETWORK_UNCOUNTED: Final = 1
# Whoever made the file may have made it a link, or a pipe that would keep us waiting.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Page(NamedTuple):
    """One page's values at one moment; counts are since the process began.

    owner: the user that made the file; opened: resources by RESOURCE_KINDS, where one of the
    network is a socket; received and sent: bytes of the network; cgroup: empty unless asked for.
    """

    pid: int
    start: int
    parent: int
    owner: int
    pid_namespace: int
    network_uncounted: bool
    opened: tuple[int, int, int, int, int]
    received: int
    sent: int
    cgroup: bytes


class UnreadablePage(ValueError):
    """The file is no page, or one of a version that this agent does not know."""


def parse(data: bytes, *, owner: int) -> Page:
    """A page, or its beginning up to the counts. Raises UnreadablePage."""
    if len(data) < _COUNTS_BYTES:
        raise UnreadablePage("cut off")
    head = _HEAD.unpack_from(data)
    magic, version, size, pid, parent, start, flags, cgroup_bytes, namespace = head
    if (magic, version, size) != (_MAGIC, VERSION, PAGE_BYTES):
        raise UnreadablePage(f"not of version {VERSION}")
    file, socket, pipe, device, other, network, received, sent = _COUNTS.unpack_from(data, _ROWS_AT)
    opened = (file, socket + network, pipe, device, other)
    uncounted = bool(flags & _NETWORK_UNCOUNTED)
    cgroup = data[_CGROUP_AT : _CGROUP_AT + min(cgroup_bytes, _CGROUP_BYTES_MAX)]
    return Page(pid, start, parent, owner, namespace, uncounted, opened, received, sent, cgroup)


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


def read(directory: str, name: str, *, whole: bool = False) -> Page:
    """Read a page, with its cgroup when it is read whole.

    Raises OSError, or UnreadablePage when it is none or not what its name says."""
    descriptor = os.open(f"{directory}/{name}", _OPEN_FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != PAGE_BYTES:
            raise UnreadablePage(f"not a file of {PAGE_BYTES} bytes")
        data = os.read(descriptor, PAGE_BYTES if whole else _COUNTS_BYTES)
    finally:
        os.close(descriptor)
    page = parse(data, owner=status.st_uid)
    if f"{page.pid}-{page.start}" != name.partition(".")[0]:
        raise UnreadablePage("of another process than its name says")
    return page
