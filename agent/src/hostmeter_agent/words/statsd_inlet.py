"""Takes StatsD lines from local sockets, in a thread of its own."""

import logging
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final

from hostmeter_agent.words.config import StatsdInlet
from hostmeter_agent.words.local_sockets import (
    InletUnusable,
    bind_loopback,
    bind_unix,
    close_unix,
)

log = logging.getLogger("hostmeter_agent")

DATAGRAM_BYTES_MAX: Final = 65_536
STREAM_LINE_BYTES_MAX: Final = 8_192
CONNECTIONS_MAX: Final = 64
_DATAGRAMS_A_TURN: Final = 256
_RECEIVE_BYTES: Final = 4 << 20
_SO_RXQ_OVFL: Final = 40
_SO_RCVBUFFORCE: Final = 33

Take = Callable[[bytes], None]


class StatsdSockets:
    """The open sockets. Raises InletUnusable when one cannot be opened."""

    def __init__(self, inlet: StatsdInlet, take: Take) -> None:
        self._take = take
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._streams: dict[socket.socket, bytes] = {}
        self._dropped = 0
        self._wake, self._waking = os.pipe2(os.O_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        try:
            self._open(inlet)
        except InletUnusable:
            self._close_sockets()
            raise
        self._thread = threading.Thread(target=self._run, name="statsd", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Datagrams that the kernel dropped at the port since it was opened."""
        return self._dropped

    def close(self) -> None:
        os.write(self._waking, b".")
        self._thread.join()
        self._close_sockets()

    def _close_sockets(self) -> None:
        for stream in self._streams:
            stream.close()
        for made in self._sockets:
            close_unix(made)
        self._selector.close()
        os.close(self._wake)
        os.close(self._waking)

    def _open(self, inlet: StatsdInlet) -> None:
        if inlet.socket is not None:
            made = bind_unix(inlet.socket, socket.SOCK_DGRAM, inlet.mode)
            self._register(made, self._receive)
        if inlet.port is not None:
            made = bind_loopback(inlet.port, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            self._register(made, self._receive)
        if inlet.stream is not None:
            made = bind_unix(inlet.stream, socket.SOCK_STREAM, inlet.mode)
            made.listen(CONNECTIONS_MAX)
            self._register(made, self._accept)

    def _register(self, made: socket.socket, ready: Callable[[socket.socket], None]) -> None:
        self._sockets.append(made)
        made.setblocking(False)
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
        except PermissionError:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self._selector.register(made, selectors.EVENT_READ, ready)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data(key.fileobj)

    def _receive(self, made: socket.socket) -> None:
        for _ in range(_DATAGRAMS_A_TURN):
            try:
                data, extra, _, _ = made.recvmsg(DATAGRAM_BYTES_MAX, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            for level, kind, value in extra:
                if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                    self._dropped = struct.unpack("=I", value)[0]
            self._take(data)

    def _accept(self, made: socket.socket) -> None:
        stream, _ = made.accept()
        if len(self._streams) >= CONNECTIONS_MAX:
            stream.close()
            return
        stream.setblocking(False)
        self._streams[stream] = b""
        self._selector.register(stream, selectors.EVENT_READ, self._read)

    def _read(self, stream: socket.socket) -> None:
        try:
            data = stream.recv(DATAGRAM_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        whole, newline, rest = (self._streams[stream] + data).rpartition(b"\n")
        if newline:
            self._take(whole)
        self._streams[stream] = rest
        if data and len(rest) <= STREAM_LINE_BYTES_MAX:
            return
        if rest and not data:
            self._take(rest)  # the last line needs no newline
        elif data:
            log.warning("statsd: a line longer than %d bytes", STREAM_LINE_BYTES_MAX)
        self._selector.unregister(stream)
        del self._streams[stream]
        stream.close()
