"""An application with a page in the Prometheus text format, over loopback or a unix socket."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Application:
    """What its endpoint answers. hold: a page is given only once this is set."""

    page: str = ""
    status: int = 200
    token: str | None = None
    hold: threading.Event | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""


def _handler(application: Application) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            application.asked.append(self.path)
            wanted = f"Bearer {application.token}"
            refused = application.token and self.headers["Authorization"] != wanted
            body = application.page.encode()
            self.send_response(401 if refused else application.status)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if application.hold is not None:
                self.wfile.write(body[:1])
                application.hold.wait(30)
            try:
                self.wfile.write(body[1:] if application.hold is not None else body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def address_string(self) -> str:
            return "scraper"

        def log_message(self, *args: object) -> None:
            return

    return Handler


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def serving_page(socket: Path | None = None) -> Iterator[Application]:
    application = Application()
    handler = _handler(application)
    server: socketserver.BaseServer
    if socket is None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        application.url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
    else:
        server = _UnixServer(str(socket), handler)
        application.url = f"unix:{socket}:/metrics"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield application
    finally:
        if application.hold is not None:
            application.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
