"""Load generators: processes that send prepared, signed batches one after the other."""

import base64
import http.client
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hostmeter_agent.wire import BATCHES_PATH

from metering.bench.together import run_together, serve
from metering.bench.workload import make_work

_TIMEOUT_SECONDS = 120


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
    """Have each sender deliver `batches` batches, all at once, a process each two senders.
    Raises BenchFailed."""
    inputs = [
        {
            "address": address,
            "batches": batches,
            "senders": [
                {"private_key": sender.private_key.hex(), "key_id": sender.key_id}
                for sender in senders[first : first + 2]
            ],
        }
        for first in range(0, len(senders), 2)
    ]
    results = run_together("metering.bench.load", inputs)
    return [Sent(**sent) for result in results for sent in result]


def _prepare(given: dict[str, Any]) -> Callable[[], list[dict[str, Any]]]:
    address = (given["address"][0], given["address"][1])
    senders = [
        Sender(bytes.fromhex(sender["private_key"]), sender["key_id"])
        for sender in given["senders"]
    ]
    prepared = [_requests(sender, given["batches"]) for sender in senders]
    return lambda: [asdict(sent) for sent in _delivered(address, prepared)]


def _delivered(address: tuple[str, int], prepared: "list[list[_Request]]") -> list[Sent]:
    with ThreadPoolExecutor(len(prepared)) as pool:
        return list(pool.map(lambda requests: _deliver(address, requests), prepared))


_Request = tuple[bytes, dict[str, str]]


def _requests(sender: Sender, batches: int) -> list[_Request]:
    key = Ed25519PrivateKey.from_private_bytes(sender.private_key)
    bodies = make_work(seed=1).bodies(str(uuid4()), batches)
    return [(body, _headers(key, sender.key_id, body)) for body in bodies]


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


def _deliver(address: tuple[str, int], requests: list[_Request]) -> Sent:
    seconds, refusals = [], []
    started = time.monotonic()
    for body, headers in requests:
        before = time.monotonic()
        # A connection a batch, as agents do: they push seconds apart.
        connection = http.client.HTTPConnection(*address, timeout=_TIMEOUT_SECONDS)
        connection.request("POST", BATCHES_PATH, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        seconds.append(time.monotonic() - before)
        if answer.status != 200:
            refusals.append(f"{answer.status} {text[:200]!r}")
    ended = time.monotonic()
    return Sent(started, ended, seconds, refusals)


if __name__ == "__main__":
    serve(_prepare)
