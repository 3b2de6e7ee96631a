"""Fetches an application's page in a thread of its own, so that no scan ever waits for it."""

import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hostmeter_agent.server.exchange import AnswerMalformed, AnswerReader, request_bytes
from hostmeter_agent.words.config import Endpoint
from hostmeter_agent.words.exposition import Page, read_page

PAGE_BYTES_MAX: Final = 8 << 20
_TOKEN_BYTES_MAX: Final = 16_384
_ACCEPT: Final = "text/plain;version=0.0.4, */*;q=0.1"


class PageUnavailable(Exception):
    """The endpoint gave no page; the text says why."""


def _connected(url: str, timeout: float) -> tuple[socket.socket, str, str]:
    """A connection, whom to name as its host, and what to ask for on it. Raises OSError."""
    if url.startswith("unix:"):
        path, _, target = url.removeprefix("unix:").partition(":")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        with _closed_on_failure(connection):
            connection.connect(path)
        return connection, "localhost", target or "/"
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = socket.create_connection(
        (host, parts.port or (443 if secure else 80)), timeout=timeout
    )
    if secure:
        import ssl

        with _closed_on_failure(connection):
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    return connection, parts.netloc, target


@contextmanager
def _closed_on_failure(connection: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _headers(endpoint: Endpoint) -> dict[str, str]:
    headers = {"Accept": _ACCEPT}
    if endpoint.token_file is not None:
        with Path(endpoint.token_file).open("rb") as file:
            token = file.read(_TOKEN_BYTES_MAX).decode("ascii").strip()
        if not token or not token.isprintable():
            raise PageUnavailable("the token file holds no token")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def fetch(endpoint: Endpoint) -> str:
    """The page's text. Raises PageUnavailable, also for a page over 8 MiB or one that takes
    longer than the endpoint's timeout in all, its head included."""
    until = time.monotonic() + endpoint.timeout_seconds
    try:
        headers = _headers(endpoint)
        connection, host, target = _connected(endpoint.url, endpoint.timeout_seconds)
        with connection:
            connection.sendall(request_bytes("GET", host, target, headers, b""))
            reader = AnswerReader(
                connection, bytes_max=PAGE_BYTES_MAX + 1, seconds_max=until - time.monotonic()
            )
            answer = reader.read()
    except OSError as error:
        raise PageUnavailable(error.strerror or str(error) or type(error).__name__) from error
    except (AnswerMalformed, UnicodeError) as error:
        raise PageUnavailable(str(error) or type(error).__name__) from error
    if answer.status != HTTPStatus.OK:
        raise PageUnavailable(f"status {answer.status}")
    if len(answer.body) > PAGE_BYTES_MAX:
        raise PageUnavailable(f"more than {PAGE_BYTES_MAX} bytes")
    return answer.body.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Fetched:
    """One attempt. at_s: seconds on CLOCK_BOOTTIME; page is None where there was none."""

    at_s: float
    page: Page | None
    reason: str = ""


def _boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Scraper:
    """Fetches shortly before each window ends, so that the page is there when it is read."""

    def __init__(
        self, endpoint: Endpoint, wanted: Collection[str], *, interval_seconds: int
    ) -> None:
        self._endpoint = endpoint
        self._wanted = wanted
        self._interval_s = interval_seconds
        self._lead_s = min(float(endpoint.timeout_seconds), interval_seconds / 2)
        self._latest: Fetched | None = None
        self._first = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrape", daemon=True)
        self._thread.start()

    def latest(self, *, wait_s: float) -> Fetched | None:
        """The last attempt, unless it is older than two windows. Waits only for the very first."""
        self._first.wait(wait_s)
        latest = self._latest
        if latest is None or _boot_s() - latest.at_s > 2 * self._interval_s + 1:
            return None
        return latest

    def stop(self) -> None:
        """Its thread ends with the request that it is at, if any; nobody needs to wait."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            at_s = _boot_s()
            try:
                page = read_page(fetch(self._endpoint), self._wanted)
                self._latest = Fetched(at_s, page)
            except PageUnavailable as error:
                self._latest = Fetched(at_s, None, str(error))
            self._first.set()
            self._stopping.wait(self._until_next_s(time.time()))

    def _until_next_s(self, now_s: float) -> float:
        ahead = (now_s + self._lead_s) % self._interval_s
        return self._interval_s - ahead
