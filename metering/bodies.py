"""A request's body: inflated under a cap, whatever is sent."""

import zlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from backports import zstd
from hostmeter_agent.wire import INFLATED_BYTES_MAX

from tenants.bodies import too_large
from tenants.problems import Problem

_INFLATE_BYTES: Final = 1024 * 1024
# 8 MiB: the most that the content coding zstd may ask of a decoder (RFC 9659).
_ZSTD_WINDOW_LOG_MAX: Final = 23
_GZIP: Final = 16 + zlib.MAX_WBITS
_FEED_BYTES: Final = 64 * 1024
_MEMBERS_MAX: Final = 10_000

CODINGS: Final = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}


def inflate(body: bytes, coding: str) -> bytes:
    """The body without its content coding: "", gzip or zstd, of one or several members.

    Raises Problem 413 over 64 MiB, and 400 when it does not decode.
    """
    if not coding:
        return body
    try:
        pieces = list(_inflated_pieces(body, _Gzip if coding == "gzip" else _Zstd))
    except (zlib.error, zstd.ZstdError, _Undecodable) as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"The body does not decode as {coding}: {error}."
        ) from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Undecodable(Exception):
    """The body is cut short, or made of absurdly many members."""


class _Gzip:
    """One member of a gzip body."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP)

    @property
    def ended(self) -> bool:
        return self._inner.eof

    @property
    def hungry(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def rest(self) -> bytes:
        return self._inner.unused_data

    def inflate(self, data: bytes | memoryview, size_max: int) -> bytes:
        return self._inner.decompress(data or self._inner.unconsumed_tail, size_max)


class _Zstd:
    """One frame of a zstd body."""

    def __init__(self) -> None:
        self._inner = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX}
        )

    @property
    def ended(self) -> bool:
        return self._inner.eof

    @property
    def hungry(self) -> bool:
        return self._inner.needs_input

    @property
    def rest(self) -> bytes:
        return self._inner.unused_data

    def inflate(self, data: bytes | memoryview, size_max: int) -> bytes:
        return self._inner.decompress(data, size_max)


def _inflated_pieces(body: bytes, decompressor: type[_Gzip | _Zstd]) -> Iterator[bytes]:
    # Fed piece by piece: what lies behind a member's end is copied, and members can be tiny.
    feed = (
        memoryview(body)[first : first + _FEED_BYTES] for first in range(0, len(body), _FEED_BYTES)
    )
    data: bytes | memoryview = next(feed, b"")
    members, size = 1, 0
    member = decompressor()
    while True:
        if member.ended:
            data = member.rest or next(feed, b"")
            if not data:
                return
            members += 1
            if members > _MEMBERS_MAX:
                raise _Undecodable(f"it has over {_MEMBERS_MAX} members")
            member = decompressor()
        piece = member.inflate(data, min(_INFLATE_BYTES, INFLATED_BYTES_MAX + 1 - size))
        size += len(piece)
        if size > INFLATED_BYTES_MAX:
            raise too_large("inflated", INFLATED_BYTES_MAX)
        yield piece
        data = b""
        if member.hungry and not member.ended:
            data = next(feed, b"")
            if not data and not piece:
                raise _Undecodable("it is cut short")
