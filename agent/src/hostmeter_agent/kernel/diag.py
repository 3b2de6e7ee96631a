"""TCP sockets of the agent's network namespace: who listens and which peers are connected.

From the kernel's sock_diag netlink, which also tells everyone about everyone's sockets; where it is
not there, from /proc/net/tcp and tcp6.
"""

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_NETLINK_SOCK_DIAG: Final = 4
_OF_BOTH_FAMILIES: Final = 18
"""TCPDIAG_GETSOCK."""
_REQUEST_DUMP: Final = 0x301
_ERROR, _DONE = 2, 3
_ESTABLISHED, _LISTENING = 1, 10
# A netlink header, then struct inet_diag_req and struct inet_diag_msg.
_REQUEST: Final = struct.Struct("=IHHIIB3x48xI4x")
_SOCKET: Final = struct.Struct("=16xBB2x2s2x16s16s28xI")
_HEADER: Final = struct.Struct("=IH10x")
_NETLINK_HEADER_BYTES: Final = 16
_BUFFER_BYTES: Final = 65_536
_ANSWER_SECONDS: Final = 2.0
_SOCKETS_MAX: Final = 65_536
_LINE_BYTES_MAX: Final = 256
_MAPPED: Final = bytes(10) + b"\xff\xff"
_ANY: Final = bytes(16)
_ANY_V4: Final = _MAPPED + bytes(4)

Local = tuple[bytes, bytes]
"""A port (2 bytes, the network's order) and an address (16 bytes, IPv4 mapped into IPv6)."""


class DiagUnavailable(Exception):
    """The kernel has no sock_diag for TCP here; the text says why."""


@dataclass(slots=True)
class Sockets:
    """At one moment. listening: the sockets' inodes, by where they listen; connected: the peers'
    addresses (16 bytes) of connections that a program holds, by their local end; complete: there
    were no more than can be listed."""

    listening: dict[Local, set[int]] = field(default_factory=dict)
    connected: dict[Local, set[bytes]] = field(default_factory=dict)
    complete: bool = True

    def add(self, state: int, local: Local, peer: bytes, inode: int) -> None:
        # One that waits to be accepted belongs to no program yet: it has no inode.
        if inode and state == _LISTENING:
            self.listening.setdefault(local, set()).add(inode)
        elif inode and state == _ESTABLISHED:
            self.connected.setdefault(local, set()).add(peer)


def listeners_at(local: Local) -> tuple[Local, ...]:
    """Where a socket may listen that accepted a connection with that local end, best first."""
    port, address = local
    if address.startswith(_MAPPED):
        return local, (port, _ANY_V4), (port, _ANY)
    return local, (port, _ANY)


def by_netlink(*, listening: bool) -> Sockets:
    """Connected sockets, and those that listen if asked for. Raises DiagUnavailable."""
    sockets = Sockets()
    try:
        # One for each dump: nothing of an answer that was broken off can be in the next.
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(_ANSWER_SECONDS)
            netlink.send(_request(listening=listening))
            sockets.complete = _take_in(netlink, sockets)
    except OSError as error:
        raise DiagUnavailable(error.strerror or str(error)) from error
    return sockets


def _request(*, listening: bool) -> bytes:
    """For both families at once: the kernel walks through its table but once."""
    states = 1 << _ESTABLISHED | (1 << _LISTENING if listening else 0)
    size = _REQUEST.size
    return _REQUEST.pack(size, _OF_BOTH_FAMILIES, _REQUEST_DUMP, 0, 0, socket.AF_UNSPEC, states)


def _take_in(netlink: socket.socket, sockets: Sockets) -> bool:
    """Whether that was all."""
    buffer = bytearray(_BUFFER_BYTES)
    seen = 0
    while seen <= _SOCKETS_MAX:
        size = netlink.recv_into(buffer)
        at = 0
        while at + _HEADER.size <= size:
            length, kind = _HEADER.unpack_from(buffer, at)
            if kind == _DONE or length < _HEADER.size:
                return True
            if kind == _ERROR:
                code = -struct.unpack_from("=i", buffer, at + _NETLINK_HEADER_BYTES)[0]
                raise OSError(code, os.strerror(code))
            seen += 1
            family, state, port, here, there, inode = _SOCKET.unpack_from(buffer, at)
            if family == socket.AF_INET:
                here, there = _MAPPED + here[:4], _MAPPED + there[:4]
            sockets.add(state, (port, here), there, inode)
            at += (length + 3) & ~3
    return False


def by_proc(net: Path) -> Sockets:
    """The same from tcp and tcp6 in `net`, /proc/net. Raises OSError where neither is there."""
    sockets = Sockets()
    found = [path for name in ("tcp", "tcp6") if (path := net / name).exists()]
    if not found:
        raise FileNotFoundError(2, "no TCP", str(net))
    for path in found:
        for state, local, peer, inode in _lines(path, sockets):
            sockets.add(state, local, peer, inode)
    return sockets


def _lines(path: Path, sockets: Sockets) -> Iterator[tuple[int, Local, bytes, int]]:
    with path.open("rb") as file:
        file.readline(_LINE_BYTES_MAX)
        for number, line in enumerate(file):
            if number >= _SOCKETS_MAX:
                sockets.complete = False
                return
            words = line.split(maxsplit=10)
            here, _, port = words[1].partition(b":")
            there = words[2].partition(b":")[0]
            local = bytes.fromhex(port.decode()), _address(here)
            yield int(words[3], 16), local, _address(there), int(words[9])


def _address(text: bytes) -> bytes:
    """The kernel shows addresses as numbers of 32 bits in the machine's own order."""
    data = bytes.fromhex(text.decode())
    words = struct.unpack(f">{len(data) // 4}I", data)
    packed = struct.pack(f"={len(words)}I", *words)
    return packed if len(packed) == 16 else _MAPPED + packed
