"""A server that holds the agent to the wire contract, with signatures checked by a library."""

import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hostmeter_agent.wire import BATCHES_PATH, ENROL_PATH, SIGNATURE_COMPONENTS
from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)

try:
    from backports import zstd
except ImportError:  # Python 3.14 has its own
    from compression import zstd  # type: ignore[import-not-found, no-redef]

HOST = "6f1f7dd4-4b1c-4f5c-9c0d-3a8a3b9a3f55"
KEY_ID = "key-1"
Body = dict[str, object]
Reply = tuple[int, Body, dict[str, str]]


@dataclass
class Request:
    method: str
    url: str
    headers: dict[str, str]


@dataclass
class Contract(HTTPSignatureKeyResolver):
    """What the server holds and how it answers.

    answers: replies to give to the next pushes instead of the contract's; an empty 200 stores the
    batch, None stores it and then loses the answer.
    """

    token: str = "token-1"
    public_key: bytes = b""
    enrolled: Body = field(default_factory=dict)
    stored: dict[tuple[str, int], tuple[str, Body]] = field(default_factory=dict)
    transferred: list[bytes] = field(default_factory=list)
    answers: list[Reply | None] = field(default_factory=list)
    settled: threading.Event = field(default_factory=threading.Event)

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        assert key_id == KEY_ID
        return Ed25519PublicKey.from_public_bytes(self.public_key)

    def resolve_private_key(self, key_id: str) -> bytes:
        raise NotImplementedError

    @property
    def samples(self) -> list[Body]:
        found: list[Body] = []
        for _, body in self.stored.values():
            part = body["samples"]
            assert isinstance(part, list)
            found += part
        return found

    def enrol(self, body: bytes) -> Reply:
        fields = json.loads(body)
        if fields["token"] != self.token:
            return 401, {"title": "Unauthorized", "detail": "The token cannot be used."}, {}
        self.token = ""
        self.enrolled = fields
        return 201, {"host": HOST, "key_id": KEY_ID, "server_time": "2026-01-01T00:00:00Z"}, {}

    def push(self, request: Request, body: bytes) -> Reply | None:
        self.transferred.append(body)
        verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=self)
        try:
            found = verifier.verify(request, max_age=timedelta(seconds=300), body=body)
        except InvalidSignature as error:
            return 401, {"detail": str(error)}, {}
        covered = {str(name).strip('"') for name in found[0].covered_components}
        assert set(SIGNATURE_COMPONENTS) <= covered
        answer: Reply | None = self.answers.pop(0) if self.answers else (200, {}, {})
        if answer is not None and answer[:2] != (200, {}):
            return answer
        kept = self.store(request, body)
        return kept if answer is not None else None

    def store(self, request: Request, body: bytes) -> Reply:
        plain = {"gzip": gzip.decompress, "zstd": zstd.decompress}[
            request.headers["content-encoding"]
        ](body)
        content = json.loads(plain)
        key = (content["epoch"], content["sequence"])
        digest = hashlib.sha256(plain).hexdigest()
        known = self.stored.setdefault(key, (digest, content))
        if known[0] != digest:
            return 409, {"detail": "Other samples are stored under this sequence."}, {}
        count = len(content["samples"])
        return 200, {"stored": count, "duplicate": False, "sequence": content["sequence"]}, {}


def _handler(contract: Contract) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            url = f"http://{self.headers['Host']}{self.path}"
            headers = {name.lower(): value for name, value in self.headers.items()}
            paths: dict[str, Callable[[], Reply | None]] = {
                ENROL_PATH: lambda: contract.enrol(body),
                BATCHES_PATH: lambda: contract.push(Request("POST", url, headers), body),
            }
            self.reply(paths[self.path]())

        def reply(self, answer: Reply | None) -> None:
            if answer is None:
                self.close_connection = True
                return
            status, fields, headers = answer
            content = json.dumps(fields).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    return Handler


@contextmanager
def serving(contract: Contract) -> Iterator[str]:
    """The server's URL, while it runs on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(contract))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
