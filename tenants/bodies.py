"""A request's body, read in bounded pieces whatever is sent, and answers to one that is refused."""

import time
from contextlib import suppress
from http import HTTPStatus
from typing import Final, Protocol

from django.http import HttpRequest, HttpResponse
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from tenants.problems import Problem

_READ_BYTES: Final = 256 * 1024
# What a client may still have in flight when the answer is known already. It is read and dropped,
# so that the client gets the answer and not a reset connection.
_DRAINED_BYTES_MAX: Final = 64 * 1024 * 1024
_DRAIN_SECONDS_MAX: Final = 2


class Stream(Protocol):
    """Where a body comes from."""

    def read(self, size: int, /) -> bytes: ...


def too_large(what: str, bytes_max: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is over {bytes_max} bytes {what}."
    )


def body_of(request: HttpRequest, bytes_max: int) -> bytes:
    """The body as transferred. Raises Problem 413 over `bytes_max`, without keeping more than
    that, and 400 where it does not come whole."""
    declared = request.META.get("CONTENT_LENGTH") or ""
    length = int(declared) if declared.isdecimal() else None
    try:
        return _read_body(_stream(request), length, bytes_max)
    except OSError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body could not be read to its end.") from error


def problem_response(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The problem as an answer, once what the client still sends is out of the way."""
    _hurry(request)
    # A client that has gone reads no answer either.
    with suppress(OSError):
        _drain(_stream(request))
    return problem.response()


def _read_body(stream: Stream, declared_bytes: int | None, bytes_max: int) -> bytes:
    if declared_bytes is not None and declared_bytes > bytes_max:
        raise too_large("as transferred", bytes_max)
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(min(_READ_BYTES, bytes_max + 1 - size)):
        pieces.append(piece)
        size += len(piece)
        if size > bytes_max:
            raise too_large("as transferred", bytes_max)
    if declared_bytes is not None and size < declared_bytes:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body ends before its Content-Length.")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _drain(stream: Stream) -> None:
    """Read and drop what is left of a body that nobody needs."""
    left = _DRAINED_BYTES_MAX
    while left > 0 and (piece := stream.read(min(_READ_BYTES, left))):
        left -= len(piece)


def _hurry(request: HttpRequest) -> None:
    """The answer is known: whoever still sends gets a moment to end, not the time of a request."""
    connection = request.META.get("gunicorn.socket")
    deadline = getattr(connection, "deadline", None)
    if connection is not None and deadline is not None:
        connection.deadline = min(deadline, time.monotonic() + _DRAIN_SECONDS_MAX)


def _stream(request: HttpRequest) -> Stream:
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower() and request.META.get(
        "wsgi.input_terminated"
    ):
        # Django reads nothing where no length is declared; the server knows where the body ends.
        return _ChunkedStream(request.META["wsgi.input"])
    return request


class _ChunkedStream:
    """A body in chunks, from gunicorn, whose errors in the framing are of its own kind."""

    def __init__(self, inner: Stream) -> None:
        self._inner = inner

    def read(self, size: int, /) -> bytes:
        """Raises OSError where the chunks are broken, as a broken connection does."""
        try:
            return self._inner.read(size)
        except ParseException as error:
            raise OSError("the chunks are broken") from error
