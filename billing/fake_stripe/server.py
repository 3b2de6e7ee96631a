"""HTTP: one thread a connection, on this machine's loopback only."""

import json
import logging
import socket
import struct
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from billing.fake_stripe.answers import Answer, Desk, Request
from billing.fake_stripe.books import Books
from billing.fake_stripe.control import control
from billing.fake_stripe.delivery import Deliveries
from billing.fake_stripe.pages import page
from billing.fake_stripe.refusals import Refused

LOOPBACK: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 256 * 1024
IDLE_S: Final = 75
# Ends a connection with a reset instead of a goodbye, as a broken one does.
_RESET: Final = struct.pack("ii", 1, 0)

_log = logging.getLogger("fake_stripe")


class FakeStripe:
    """The server with its books and its deliveries. `close` ends all of it."""

    def __init__(
        self, state: str | Path, port: int = 0, listener: socket.socket | None = None
    ) -> None:
        """With a `listener`, on that socket, which listens already. Raises OSError where the port
        is taken."""
        self.books = Books(str(state))
        try:
            self._server = _Server((LOOPBACK, port), _Handler, bind_and_activate=listener is None)
        except OSError:
            self.books.close()
            raise
        if listener is not None:
            self._server.socket.close()
            self._server.socket = listener
            self._server.server_address = listener.getsockname()
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self.desk = self._server.desk = Desk(self.books, self.url)
        self._deliveries = Deliveries(self.books)

    def serve(self) -> None:
        """Answer until `stop` is called from another thread."""
        self._deliveries.start()
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._server.server_close()
            self._deliveries.stop()
            self.books.close()

    def stop(self) -> None:
        self._server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Closing waits for nobody: connections are kept open by clients that may ask again.
    block_on_close = False
    request_queue_size = 128
    desk: Desk


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._dispatch()

    def do_POST(self) -> None:
        self._dispatch()

    def do_DELETE(self) -> None:
        self._dispatch()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as inherited
        _log.debug(format, *args)

    def _dispatch(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self._send_answer(Answer(413, Refused(413, "invalid_request_error", "Too long").body()))
            return
        body = self.rfile.read(int(length))
        # A page elsewhere can let a browser come here under another name; it is not answered.
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if host not in {LOOPBACK, "localhost"}:
            self._send_answer(
                Answer(421, Refused(421, "invalid_request_error", "Not this host").body())
            )
            return
        path, _, query = self.path.partition("?")
        if path.startswith("/v1/"):
            self._send_answer(self.server.desk.answer(self._api_request(path, query, body)))
        elif path.startswith("/_fake/"):
            self._send_answer(self._control(path, query, body))
        else:
            self._send_page(path, body)

    def _api_request(self, path: str, query: str, body: bytes) -> Request:
        form = query if self.command in {"GET", "DELETE"} else body.decode(errors="replace")
        key = self.headers.get("Idempotency-Key")
        return Request(self.command, path, form, _secret(self.headers["Authorization"]), key)

    def _control(self, path: str, query: str, body: bytes) -> Answer:
        try:
            # Forms of other pages cannot send JSON without being asked first.
            if self.command == "POST" and self.headers.get_content_type() != "application/json":
                raise Refused(415, "invalid_request_error", "Send application/json")
            return control(self.server.desk, self.command, path, dict(parse_qsl(query)), body)
        except Refused as refused:
            return Answer(refused.status, refused.body())

    def _send_answer(self, answer: Answer) -> None:
        if answer.is_lost:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.connection.close()
            return
        self._send(answer.status, json.dumps(answer.body).encode(), "application/json", answer)

    def _send_page(self, path: str, body: bytes) -> None:
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        found = page(self.server.desk, self.command, path, form)
        headers = Answer(found.status, {}, {"Location": found.location} if found.location else {})
        self._send(found.status, found.html.encode(), "text/html; charset=utf-8", headers)

    def _send(self, status: int, content: bytes, kind: str, answer: Answer) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Frame-Options", "DENY")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _secret(authorization: str | None) -> str:
    """The key of a request: as a bearer's token, or as the name of a basic one."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(value).decode().partition(":")[0]
        except ValueError:
            return ""
    return ""
