"""One HTTP/1.1 request and its answer over a socket; as much of RFC 9112 as a client needs that
asks once and closes. The standard library's client brings a mail parser and TLS along (3 MB)."""

import re
import socket
import time
from dataclasses import dataclass
from typing import Final

HEAD_BYTES_MAX: Final = 65_536
_CHUNK_LINE_BYTES_MAX: Final = 1_024
_RECEIVE_BYTES: Final = 65_536
_WITHOUT_BODY: Final = frozenset({204, 304})
_STATUS: Final = re.compile(r"HTTP/1\.[0-9] +([1-9][0-9]{2})(?: .*)?")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_BREAKS: Final = re.compile(r"[\0\r\n]")
"""A line break inside a line would end it for whoever reads less strictly."""


class AnswerMalformed(Exception):
    """What came back is no HTTP answer, or it ended early; the text says which."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """headers: by their names in lower case, the first of each."""

    status: int
    headers: dict[str, str]
    body: bytes


def request_bytes(method: str, host: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """The whole request."""
    lines = [
        f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close",
        "Accept-Encoding: identity", *(f"{name}: {value}" for name, value in headers.items()),
    ]  # fmt: skip
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class AnswerReader:
    """Reads one answer, at most so much of it and no longer than until a deadline."""

    def __init__(self, connection: socket.socket, *, bytes_max: int, seconds_max: float) -> None:
        self._connection = connection
        self._bytes_max = bytes_max
        self._deadline = time.monotonic() + seconds_max
        self._buffer = bytearray()

    def read(self) -> HttpAnswer:
        """Raises AnswerMalformed and OSError."""
        while True:
            status, headers = self._head()
            if status >= 200:  # the others announce the answer
                return HttpAnswer(status, headers, self._body(status, headers))

    def _head(self) -> tuple[int, dict[str, str]]:
        first, *lines = self._until(b"\r\n\r\n", HEAD_BYTES_MAX).decode("latin-1").split("\r\n")
        status = _STATUS.fullmatch(first)
        if status is None:
            raise AnswerMalformed("the answer is not HTTP")
        headers: dict[str, str] = {}
        for line in lines:
            if _BREAKS.search(line):
                raise AnswerMalformed("the answer's head holds control characters")
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        return int(status[1]), headers

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in _WITHOUT_BODY:
            return b""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunks()
        length = headers.get("content-length")
        if length is None:
            while len(self._buffer) < self._bytes_max and self._receive():
                pass
            return bytes(self._buffer[: self._bytes_max])
        if not _LENGTH.fullmatch(length):
            raise AnswerMalformed("the answer's length is no number")
        return self._exactly(min(int(length), self._bytes_max))

    def _chunks(self) -> bytes:
        body = bytearray()
        while len(body) < self._bytes_max:
            line = self._until(b"\r\n", _CHUNK_LINE_BYTES_MAX).split(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(line):
                raise AnswerMalformed("a chunk's size is no number")
            size = int(line, 16)
            if size == 0:
                break
            body += self._exactly(min(size, self._bytes_max - len(body)))
            if len(body) < self._bytes_max and self._exactly(2) != b"\r\n":
                raise AnswerMalformed("a chunk is longer than its size")
        return bytes(body)

    def _until(self, end: bytes, bytes_max: int) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            if len(self._buffer) > bytes_max:
                raise AnswerMalformed("the answer's head is too long")
            self._more()
        return self._taken(at + len(end))[: -len(end)]

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        return self._taken(count)

    def _taken(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _more(self) -> None:
        if not self._receive():
            raise AnswerMalformed("the connection ended before the answer did")

    def _receive(self) -> bool:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        patience = self._connection.gettimeout()
        self._connection.settimeout(left if patience is None else min(patience, left))
        data = self._connection.recv(_RECEIVE_BYTES)
        self._buffer += data
        return bool(data)
