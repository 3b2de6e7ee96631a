"""One request to an address that somebody entered, made so that it reaches nothing but that.

The name is resolved once, every address it has must be public, and the connection is made to the
address that was judged: a name that resolves differently a moment later changes nothing. No
redirect is followed, no proxy is used, and all of it ends within DEADLINE_SECONDS.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Timer
from typing import Final
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from tenants.core.reach import Address, is_public

DEADLINE_SECONDS: Final = 10
# Of a host's addresses some may lead nowhere from here, as IPv6 does on many machines.
_CONNECT_SECONDS: Final = 3
_ADDRESSES_TRIED: Final = 4
ANSWER_BYTES_KEPT: Final = 1_024
URL_LENGTH_MAX: Final = 500


class UrlNotUsable(ValueError):
    """It is no address that anything is sent to; says why."""


class NotReached(Exception):
    """No answer came; says why, in words for whoever runs the receiver."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the beginning of what came with it."""

    status: int
    content: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace").replace("\x00", "\ufffd")


def require_usable(url: str) -> None:
    """Raises UrlNotUsable for what is wrong with the address itself; whether it is answered at is
    seen when something is sent."""
    _parts(url)


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """What the address answers, of its text the beginning. Raises UrlNotUsable and NotReached."""
    return ask("POST", url, body, headers, kept=ANSWER_BYTES_KEPT)


def ask(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, kept: int
) -> Answer:
    """What the address answers; of what comes with it the first `kept` bytes. Raises UrlNotUsable
    and NotReached."""
    parts = _parts(url)
    host, port = parts.hostname or "", _port(parts)
    addresses = _judged_addresses(host, port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _Pinned(parts.scheme, host, port, addresses)
    try:
        with _deadline(connection):
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
            content = response.read(kept)
        if connection.is_over:
            # What was cut off can look whole.
            raise TimeoutError
        return Answer(response.status, content, dict(response.getheaders()))
    except ssl.SSLCertVerificationError as error:
        raise NotReached(f"its certificate does not hold: {error.verify_message}") from error
    except TimeoutError as error:
        raise NotReached(f"no answer within {DEADLINE_SECONDS} s") from error
    except (OSError, http.client.HTTPException) as error:
        if connection.is_over:
            raise NotReached(f"no answer within {DEADLINE_SECONDS} s") from error
        raise NotReached(_in_words(error)) from error
    finally:
        connection.close()


def _parts(url: str) -> SplitResult:
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise UrlNotUsable(f"use at most {URL_LENGTH_MAX} visible ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UrlNotUsable("it is no URL") from None
    private = settings.WEBHOOKS_TO_PRIVATE_ADDRESSES
    if parts.scheme not in ({"https", "http"} if private else {"https"}):
        raise UrlNotUsable("it has to begin with https://")
    if parts.username is not None or parts.password is not None:
        raise UrlNotUsable("leave out the name and password; messages are signed")
    if not parts.hostname or port == 0:
        raise UrlNotUsable("it names no host")
    if parts.fragment:
        raise UrlNotUsable("leave out what follows #")
    literal = _literal(parts.hostname)
    if literal is not None and not (private or is_public(literal)):
        raise UrlNotUsable(f"{literal} is no address on the public Internet")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _judged_addresses(host: str, port: int) -> list[str]:
    """The host's first addresses. Raises NotReached where there is none, or where any of them all
    is not public: a name with one foot inside is a name of inside."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotReached(f"{host} has no address") from error
    addresses = [str(sockaddr[0]) for *_, sockaddr in found]
    if not settings.WEBHOOKS_TO_PRIVATE_ADDRESSES:
        for each in addresses:
            if not is_public(ipaddress.ip_address(each.partition("%")[0])):
                raise NotReached(f"{host} is at {each}, which is not on the public Internet")
    return addresses[:_ADDRESSES_TRIED]


class _Pinned(http.client.HTTPConnection):
    """A connection to the first of the addresses that answers, whatever the name resolves to by
    now; TLS is verified for the name."""

    def __init__(self, scheme: str, host: str, port: int, addresses: list[str]) -> None:
        super().__init__(host, port, timeout=DEADLINE_SECONDS)
        self._secure = scheme == "https"
        self._addresses = addresses
        # As http.client has it: left out of Host where it is the scheme's own.
        self.default_port = 443 if self._secure else 80
        self.is_over = False

    def connect(self) -> None:
        self.sock = self._connected()
        self.sock.settimeout(DEADLINE_SECONDS)
        if self.is_over:
            raise TimeoutError
        if self._secure:
            # The handshake waits until there is a socket that the deadline can end.
            self.sock = ssl.create_default_context().wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def _connected(self) -> socket.socket:
        *others, last = self._addresses
        for each in others:
            with suppress(OSError):
                return socket.create_connection((each, self.port), timeout=_CONNECT_SECONDS)
        return socket.create_connection((last, self.port), timeout=_CONNECT_SECONDS)

    def end(self) -> None:
        """Whatever waits for the receiver fails at once."""
        self.is_over = True
        if self.sock is not None:
            # It may be closed in this moment.
            with suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


@contextmanager
def _deadline(connection: _Pinned) -> Iterator[None]:
    """A timeout bounds one read; a receiver that sends a byte now and then would hold on."""
    timer = Timer(DEADLINE_SECONDS, connection.end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _in_words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
        return "the connection was closed without an answer"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'no common ground'}"
    if isinstance(error, http.client.HTTPException):
        return "what came back is not HTTP"
    return "it cannot be reached"
