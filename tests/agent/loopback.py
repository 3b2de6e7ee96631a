"""A server that holds the agent to the wire contract, with signatures checked by a library."""

import base64
import gzip
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hostmeter_agent.wire import BATCHES_PATH, ENROL_PATH, SIGNATURE_COMPONENTS
from hostmeter_agent.wire_control import (
    APPLIED_STATE_PATH,
    DESIRED_STATE_PATH,
    KEYS_PATH,
    TIME_HEADER,
    proof_message,
)
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
    keys: dict[str, bytes] = field(default_factory=dict)
    """Keys that replaced the enrolled one, by their ids."""
    revoked: set[str] = field(default_factory=set)
    desired: Body = field(default_factory=dict)
    """Nothing there (404) while it is empty."""
    fetches: list[int] = field(default_factory=list)
    reports: list[Body] = field(default_factory=list)
    key_answers: list[Reply | None] = field(default_factory=list)
    clock_ahead_seconds: float = 0.0

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        raw = self.public_key if key_id == KEY_ID else self.keys.get(key_id)
        if raw is None or key_id in self.revoked:
            raise InvalidSignature("unknown key")
        return Ed25519PublicKey.from_public_bytes(raw)

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
        if refusal := self.refusal(request, body):
            return refusal
        answer: Reply | None = self.answers.pop(0) if self.answers else (200, {}, {})
        if answer is not None and answer[:2] != (200, {}):
            return answer
        kept = self.store(request, body)
        return kept if answer is not None else None

    def refusal(self, request: Request, body: bytes) -> Reply | None:
        """A 401 for what is not signed as the contract asks for."""
        verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=self)
        try:
            found = verifier.verify(request, max_age=timedelta(seconds=300), body=body)
        except InvalidSignature as error:
            return 401, {"detail": str(error)}, {}
        covered = {str(name).strip('"') for name in found[0].covered_components}
        assert {*SIGNATURE_COMPONENTS, TIME_HEADER} <= covered
        return None

    def rotate(self, request: Request, body: bytes) -> Reply | None:
        if refusal := self.refusal(request, body):
            return refusal
        fields = json.loads(body)
        public = base64.b64decode(fields["public_key"])
        asked_by = request.headers["signature-input"].split('keyid="')[1].split('"')[0]
        message = proof_message(HOST, asked_by, fields["public_key"])
        Ed25519PublicKey.from_public_bytes(public).verify(
            base64.b64decode(fields["proof"]), message
        )
        known = [key_id for key_id, raw in self.keys.items() if raw == public]
        answer: Reply | None = self.key_answers.pop(0) if self.key_answers else (200, {}, {})
        if answer is not None and answer[:2] != (200, {}):
            return answer
        key_id = known[0] if known else f"key-{len(self.keys) + 2}"
        self.keys[key_id] = public
        kept: Reply = (200 if known else 201, {"key_id": key_id}, {})
        return kept if answer is not None else None

    def wish(self, request: Request, body: bytes) -> Reply:
        if refusal := self.refusal(request, body):
            return refusal
        if not self.desired:
            return 404, {"detail": "There is nothing here."}, {}
        tag = f'"{hashlib.sha256(json.dumps(self.desired).encode()).hexdigest()[:32]}"'
        status = 304 if request.headers.get("if-none-match") == tag else 200
        self.fetches.append(status)
        return status, {} if status == 304 else self.desired, {"ETag": tag}

    def report(self, request: Request, body: bytes) -> Reply:
        if refusal := self.refusal(request, body):
            return refusal
        self.reports.append(json.loads(body))
        return 204, {}, {}

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

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + contract.clock_ahead_seconds)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            url = f"http://{self.headers['Host']}{self.path}"
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, url, headers)
            places: dict[tuple[str, str], Callable[[], Reply | None]] = {
                ("POST", ENROL_PATH): lambda: contract.enrol(body),
                ("POST", BATCHES_PATH): lambda: contract.push(request, body),
                ("POST", KEYS_PATH): lambda: contract.rotate(request, body),
                ("GET", DESIRED_STATE_PATH): lambda: contract.wish(request, body),
                ("PUT", APPLIED_STATE_PATH): lambda: contract.report(request, body),
            }
            self.reply(places[self.command, self.path]())

        do_GET = do_PUT = do_POST  # noqa: N815  as the standard library calls them

        def reply(self, answer: Reply | None) -> None:
            if answer is None:
                self.close_connection = True
                return
            status, fields, headers = answer
            content = b"" if status in (204, 304) else json.dumps(fields).encode()
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
