"""The load generator: a process that sends prepared, signed batches one after the other."""

import base64
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

from backports import zstd
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hostmeter_agent.wire import BATCHES_PATH

from metering.bench.together import run_together, serve
from metering.bench.workload import make_work

_TIMEOUT_SECONDS = 120
_ANSWER_BYTES = 65_536
_STORED = b"HTTP/1.1 200 "


@dataclass(frozen=True, slots=True)
class Sender:
    """An enrolled host, to be played by a load generator. `private_key` is raw."""

    private_key: bytes
    key_id: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What a load generator saw: when it started and ended (seconds of the machine's monotonic
    clock), how long each answer took, and what was answered in place of 200."""

    started: float
    ended: float
    seconds: list[float]
    refusals: list[str]


def send(address: tuple[str, int], senders: list[Sender], batches: int) -> list[Sent]:
    """Have each sender deliver `batches` batches, all at once, from one process. Raises
    BenchFailed."""
    given = {
        "address": address,
        "batches": batches,
        "senders": [
            {"private_key": sender.private_key.hex(), "key_id": sender.key_id} for sender in senders
        ],
    }
    (result,) = run_together("metering.bench.load", [given])
    return [Sent(**sent) for sent in result]


def _prepare(given: dict[str, Any]) -> Callable[[], list[dict[str, Any]]]:
    address = (given["address"][0], given["address"][1])
    senders = [
        Sender(bytes.fromhex(sender["private_key"]), sender["key_id"])
        for sender in given["senders"]
    ]
    prepared = [_requests(sender, given["batches"]) for sender in senders]
    return lambda: [asdict(sent) for sent in _delivered(address, prepared)]


def _delivered(address: tuple[str, int], prepared: list[list[bytes]]) -> list[Sent]:
    with ThreadPoolExecutor(len(prepared)) as pool:
        return list(pool.map(lambda requests: _deliver(address, requests), prepared))


def _requests(sender: Sender, batches: int) -> list[bytes]:
    """Whole requests, ready to be sent: the generator should take little of what it measures."""
    key = Ed25519PrivateKey.from_private_bytes(sender.private_key)
    bodies = make_work(seed=1).bodies(str(uuid4()), batches)
    return [_request(key, sender.key_id, zstd.compress(body)) for body in bodies]


def _request(key: Ed25519PrivateKey, key_id: str, body: bytes) -> bytes:
    # A connection a batch, as agents do: they push seconds apart.
    head = [f"POST {BATCHES_PATH} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    head += [f"{name}: {value}" for name, value in _headers(key, key_id, body).items()]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _headers(key: Ed25519PrivateKey, key_id: str, body: bytes) -> dict[str, str]:
    digest = f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:"
    covered = f'("@method" "@path" "content-digest");created={int(time.time())};keyid="{key_id}"'
    base = (
        f'"@method": POST\n"@path": {BATCHES_PATH}\n"content-digest": {digest}\n'
        f'"@signature-params": {covered}'
    )
    signature = base64.b64encode(key.sign(base.encode())).decode()
    return {
        "Content-Type": "application/json",
        "Content-Encoding": "zstd",
        "Content-Digest": digest,
        "Signature-Input": f"hostmeter={covered}",
        "Signature": f"hostmeter=:{signature}:",
    }


def _deliver(address: tuple[str, int], requests: list[bytes]) -> Sent:
    seconds, refusals = [], []
    started = time.monotonic()
    for request in requests:
        before = time.monotonic()
        answer = _answer(address, request)
        seconds.append(time.monotonic() - before)
        if not answer.startswith(_STORED):
            refusals.append(answer[:300].decode(errors="replace"))
    ended = time.monotonic()
    return Sent(started, ended, seconds, refusals)


def _answer(address: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(address, timeout=_TIMEOUT_SECONDS) as connection:
        connection.sendall(request)
        pieces = []
        while piece := connection.recv(_ANSWER_BYTES):
            pieces.append(piece)
    return b"".join(pieces)


if __name__ == "__main__":
    serve(_prepare)
