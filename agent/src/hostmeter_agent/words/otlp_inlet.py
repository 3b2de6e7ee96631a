"""Takes OTLP over HTTP on a unix socket or a loopback port, a bounded number at a time."""

import http.client
import logging
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from typing import BinaryIO, Final

from hostmeter_agent.words.config import OtlpInlet
from hostmeter_agent.words.local_sockets import (
    InletUnusable,
    bind_loopback,
    bind_unix,
    close_unix,
)

log = logging.getLogger("hostmeter_agent")

PATH: Final = "/v1/metrics"
CONNECTIONS_MAX: Final = 16
BODY_BYTES_MAX: Final = 4 << 20
INFLATED_BYTES_MAX: Final = 16 << 20
IDLE_SECONDS: Final = 100
BODIES_MAX: Final = 4
"""Bodies held at one time: with what they inflate to they fit into the memory that a unit has."""
BODY_SECONDS_MAX: Final = 30
_LINE_BYTES_MAX: Final = 8_192
_PIECE_BYTES: Final = 65_536
_TRAILERS_MAX: Final = 100
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
RETRY_AFTER_SECONDS: Final = 5

Handle = Callable[[str, bytes], "Reply"]


class Reply(Exception):
    """An answer: its status, its body and the body's type. Raised where a request ends early;
    closing: the connection cannot be used further."""

    def __init__(
        self, status: int, body: bytes = b"", kind: str = "text/plain", *, closing: bool = False
    ) -> None:
        super().__init__(status)
        self.status, self.body, self.kind, self.closing = status, body, kind, closing

    def encode(self) -> bytes:
        retry = f"Retry-After: {RETRY_AFTER_SECONDS}\r\n" if self.status == 503 else ""
        closing = "Connection: close\r\n" if self.closing else ""
        head = (
            f"HTTP/1.1 {self.status} {http.client.responses[self.status]}\r\n"
            f"Content-Type: {self.kind}\r\nContent-Length: {len(self.body)}\r\n{retry}{closing}\r\n"
        )
        return head.encode("ascii") + self.body


class OtlpServer:
    """The open sockets. `handle` gets a content type and an inflated body, in many threads."""

    def __init__(self, inlet: OtlpInlet, handle: Handle) -> None:
        """Raises InletUnusable when a socket cannot be opened."""
        self._handle = handle
        self._slots = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._bodies = threading.BoundedSemaphore(BODIES_MAX)
        self._handling = threading.Lock()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._closing = False
        self._listening: list[socket.socket] = []
        try:
            self._open(inlet)
        except InletUnusable:
            self.close()
            raise
        for made in self._listening:
            thread = threading.Thread(target=self._accept, args=(made,), name="otlp", daemon=True)
            thread.start()

    def _open(self, inlet: OtlpInlet) -> None:
        if inlet.socket is not None:
            self._listening.append(bind_unix(inlet.socket, socket.SOCK_STREAM, inlet.mode))
        if inlet.port is not None:
            self._listening.append(bind_loopback(inlet.port, socket.SOCK_STREAM))
        for made in self._listening:
            made.listen(CONNECTIONS_MAX)

    def close(self) -> None:
        """Take no more; what is being answered is cut off, and its sender asks again."""
        with self._lock:
            self._closing = True
            open_now = [*self._listening, *self._connections]
        for made in open_now:
            with suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
        for made in self._listening:
            close_unix(made)

    def _accept(self, made: socket.socket) -> None:
        while not self._closing:
            try:
                connection, _ = made.accept()
            except OSError as error:
                if not self._closing:
                    log.error("otlp: %s", error.strerror)
                return
            if not self._slots.acquire(blocking=False):
                with suppress(OSError):
                    connection.sendall(Reply(503, closing=True).encode())
                connection.close()
                continue
            threading.Thread(
                target=self._serve, args=(connection,), name="otlp", daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
        try:
            connection.settimeout(IDLE_SECONDS)
            with connection, connection.makefile("rb") as stream:
                while not self._closing and self._answer(connection, stream):
                    pass
        except OSError:
            return  # the sender went away
        finally:
            with self._lock:
                self._connections.discard(connection)
            self._slots.release()

    def _answer(self, connection: socket.socket, stream: BinaryIO) -> bool:
        """One request; whether another may follow."""
        line = stream.readline(_LINE_BYTES_MAX)
        if not line.strip():
            return False
        try:
            head = _head(line, stream)
            reply = self._reply(head, connection, stream)
            keep = head.keep
        except Reply as early:
            reply, keep = early, not early.closing
        connection.sendall(reply.encode())
        return keep

    def _reply(self, head: "_Head", connection: socket.socket, stream: BinaryIO) -> Reply:
        """What becomes of a request's body. Raises Reply."""
        if not self._bodies.acquire(timeout=BODY_SECONDS_MAX):
            raise Reply(503, closing=True)
        try:
            connection.settimeout(BODY_SECONDS_MAX)
            if head.expects_word:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = _body(head.headers, stream, time.monotonic() + BODY_SECONDS_MAX)
            if head.path != PATH:
                raise Reply(404)
            if head.method != "POST":
                raise Reply(405)
            with self._handling:
                encoding = head.headers.get("Content-Encoding", "identity").lower()
                return self._handle(head.headers.get_content_type(), _inflated(encoding, body))
        finally:
            self._bodies.release()
            connection.settimeout(IDLE_SECONDS)


@dataclass(frozen=True, slots=True)
class _Head:
    """A request without its body. keep: whether another one may follow."""

    method: str
    path: str
    headers: "Message[str, str]"
    keep: bool

    @property
    def expects_word(self) -> bool:
        return self.headers.get("Expect", "").lower() == "100-continue"


def _head(line: bytes, stream: BinaryIO) -> _Head:
    """Raises Reply."""
    words = line.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Reply(400, closing=True)
    try:
        headers = http.client.parse_headers(stream)
    except http.client.HTTPException as error:
        raise Reply(400, closing=True) from error
    kept = "close" if words[2] == "HTTP/1.0" else "keep-alive"
    keep = headers.get("Connection", kept).lower() != "close"
    return _Head(words[0], words[1].split("?")[0], headers, keep)


def _body(headers: "Message[str, str]", stream: BinaryIO, until: float) -> bytes:
    """until: when it has to be there, on the monotonic clock. Raises Reply."""
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        return _chunks(stream, until)
    text = headers.get("Content-Length", "0").strip()
    if not _LENGTH.fullmatch(text):
        raise Reply(400, closing=True)
    if int(text) > BODY_BYTES_MAX:
        raise Reply(413, closing=True)
    return _exactly(stream, int(text), until)


def _exactly(stream: BinaryIO, size: int, until: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        if time.monotonic() > until:
            raise Reply(408, closing=True)
        piece = stream.read1(min(size - len(data), _PIECE_BYTES))  # type: ignore[attr-defined]
        if not piece:
            raise Reply(400, closing=True)
        data += piece
    return bytes(data)


def _chunks(stream: BinaryIO, until: float) -> bytes:
    body = bytearray()
    while True:
        text = stream.readline(_LINE_BYTES_MAX).split(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(text):
            raise Reply(400, closing=True)
        size = int(text, 16)
        if len(body) + size > BODY_BYTES_MAX:
            raise Reply(413, closing=True)
        if size == 0:
            _pass_trailers(stream)
            return bytes(body)
        body += _exactly(stream, size, until)
        if _exactly(stream, 2, until) != b"\r\n":
            raise Reply(400, closing=True)


def _pass_trailers(stream: BinaryIO) -> None:
    for _ in range(_TRAILERS_MAX):
        if not stream.readline(_LINE_BYTES_MAX).strip():
            return
    raise Reply(400, closing=True)


def _inflated(encoding: str, body: bytes) -> bytes:
    if encoding in ("identity", ""):
        return body
    if encoding not in ("gzip", "deflate"):
        raise Reply(415)
    inflater = zlib.decompressobj(47)  # zlib or gzip, whichever it is
    try:
        inflated = inflater.decompress(body, INFLATED_BYTES_MAX)
    except zlib.error as error:
        raise Reply(400) from error
    if inflater.unconsumed_tail:
        raise Reply(413)
    if not inflater.eof:
        raise Reply(400)
    return inflated
