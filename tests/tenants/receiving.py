"""A receiver of webhooks: a real HTTP server on loopback that answers as it is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from standardwebhooks import Webhook


@dataclass
class Message:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: str

    def opened(self, secret: str) -> Any:
        """What it says, its signature checked as Standard Webhooks has it."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """`answers` are given one after the other, the last for ever: a status, and what to say."""

    url: str = ""
    answers: list[tuple[int, str]] = field(default_factory=lambda: [(204, "")])
    messages: list[Message] = field(default_factory=list)
    location: str = ""
    # While it is not set, an answer waits.
    may_answer: Event = field(default_factory=Event)

    def next_answer(self) -> tuple[int, str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.may_answer.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(receiver))
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hooks?for=us"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.messages.append(Message(self.path, headers, body))
            receiver.may_answer.wait(30)
            status, text = receiver.next_answer()
            self.send_response(status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.end_headers()
            if status != 204:
                self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """The test's output is its own."""

    return Handler
