"""HTTP to the server: one bounded request at a time, and answers as plain values."""

import json
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from hostmeter_agent import __version__
from hostmeter_agent.errors import AgentError
from hostmeter_agent.server.exchange import AnswerMalformed, AnswerReader, request_bytes

ANSWER_BYTES_MAX: Final = 1_000_000
TIMEOUT_SECONDS: Final = 30
ANSWER_SECONDS_MAX: Final = 120


class ServerUnreachable(AgentError):
    """No answer: the name is unknown, the connection was refused or lost, or time ran out."""


class ServerAddressInvalid(AgentError):
    """The server's URL cannot be used."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, the headers that matter, its body."""

    status: int
    retry_after: str | None
    body: bytes
    etag: str | None = None
    date: str | None = None

    def fields(self) -> dict[str, object]:
        """The JSON object in the body, or nothing."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def detail(self) -> str:
        """One line saying why, from a problem+json body where there is one."""
        fields = self.fields()
        text = fields.get("detail") or fields.get("title") or f"HTTP status {self.status}"
        errors = fields.get("errors")
        if isinstance(errors, list) and errors and isinstance(errors[0], dict):
            first = errors[0]
            text = f"{text} ({first.get('field')}: {first.get('reason')})"
        # JSON may name halves of characters, which neither SQLite nor a log takes.
        whole = str(text).encode(errors="replace").decode()
        return " ".join(whole.split())[:500]


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is."""

    secure: bool
    host: str
    port: int
    prefix: str

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{self.prefix}"

    def path(self, path: str) -> str:
        """The request path of one of the contract's paths."""
        return self.prefix + path

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """One POST. Raises ServerUnreachable."""
        return self.send("POST", path, body, headers)

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """One request. Raises ServerUnreachable."""
        headers = {"User-Agent": _USER_AGENT, **headers}
        try:
            with self._connected() as connection:
                connection.sendall(request_bytes(method, self._authority, path, headers, body))
                answer = AnswerReader(
                    connection, bytes_max=ANSWER_BYTES_MAX, seconds_max=ANSWER_SECONDS_MAX
                ).read()
        except (OSError, UnicodeError, AnswerMalformed) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ServerUnreachable(f"{self.url}: {reason}") from error
        told = answer.headers.get
        return Answer(answer.status, told("retry-after"), answer.body, told("etag"), told("date"))

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _default_port(self.secure) else f"{host}:{self.port}"

    def _connected(self) -> socket.socket:
        # As bytes: a name in a string is looked at for other alphabets, with 1 MB of tables.
        connection = socket.create_connection(
            (self.host.encode("ascii"), self.port),  # type: ignore[arg-type]
            timeout=TIMEOUT_SECONDS,
        )
        if not self.secure:
            return connection
        import ssl

        try:
            return ssl.create_default_context().wrap_socket(connection, server_hostname=self.host)
        except BaseException:
            connection.close()
            raise


def _default_port(secure: bool) -> int:
    return 443 if secure else 80


_USER_AGENT: Final = f"hostmeter-agent/{__version__}"


def parse_server(url: str) -> Server:
    """The server at an http or https URL; a path in it is kept. Raises ServerAddressInvalid."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise ServerAddressInvalid(f"{url!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServerAddressInvalid(f"{url!r} is not an http:// or https:// URL")
    if parts.query or parts.fragment or parts.username or not url.isascii() or " " in url.strip():
        raise ServerAddressInvalid(f"{url!r} may hold a host, a port and a path, nothing else")
    secure = parts.scheme == "https"
    return Server(secure, parts.hostname, port or _default_port(secure), parts.path.rstrip("/"))
