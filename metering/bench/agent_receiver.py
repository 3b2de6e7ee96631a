"""A loopback server that enrols an agent, keeps what it delivers, and gives true receipts."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from backports import zstd
from hostmeter_agent.wire import ENROL_PATH


@dataclass(slots=True)
class Received:
    """The samples so far, of one agent, and how they came."""

    batches: int = 0
    transferred_bytes: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)

    def total(self, application: str, meter: str) -> int:
        """The sum of a counter, or of a gauge's integrals."""
        return sum(
            sample["usage"].get(meter, 0)
            for sample in self.samples
            if sample["application"] == application
        )


@contextmanager
def receiving() -> Iterator[tuple[str, Received]]:
    """Its URL, and what has come in."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == ENROL_PATH:
                self._answer(201, {"host": str(uuid4()), "key_id": "bench"})
                return
            batch = json.loads(_inflated(body, self.headers.get("Content-Encoding", "")))
            received.batches += 1
            received.transferred_bytes += len(body)
            received.samples += batch["samples"]
            stored = {"stored": len(batch["samples"]), "duplicate": False}
            self._answer(200, stored | {"sequence": batch["sequence"]})

        def _answer(self, status: int, content: dict[str, object]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Requests are not told of."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _inflated(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "zstd":
        return zstd.decompress(body)
    return body
