"""`bench ingest`: signed batches over HTTP into the product, against a bare COPY of the rows."""

import base64
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hostmeter_agent.wire import ENROL_PATH

from metering.bench.load import Sender, Sent, send
from metering.bench.together import BenchFailed
from metering.bench.web import START_SECONDS_MAX, enrolment_token, web
from metering.bench.workload import SAMPLES_PER_BATCH
from metering.bench.yardstick import copied_seconds

# As many as the yardstick has connections.
_SENDERS = 2


@dataclass(frozen=True, slots=True)
class IngestFigures:
    samples_per_second: int
    p50_ms: float
    p99_ms: float
    share_of_copy: float
    copy_rows_per_second: int
    batches: int
    samples_per_batch: int


def measure_ingest(batches: int, progress: Callable[[str], None]) -> IngestFigures:
    """Deliver about `batches` batches to two web workers. Raises BenchFailed.

    The same rows are copied before and after, so that both meet the moods of a shared machine.
    Runs inside bench.scratch.scratch_database().
    """
    share = max(1, batches // _SENDERS)
    rows = share * _SENDERS * SAMPLES_PER_BATCH
    with web() as server:
        address = server.address
        senders = [_enrolled(address) for _ in range(_SENDERS)]
        progress("warming up")
        _sent(address, senders, max(5, share // 10))
        progress(f"copying {rows} rows, bare")
        before = copied_seconds(rows)
        progress(f"delivering them in {share * _SENDERS} batches from {_SENDERS} hosts")
        sent = _sent(address, senders, share)
        progress("copying them again")
        after = copied_seconds(rows)
    return _figures(sent, rows, copied=(before + after) / 2)


def _sent(address: tuple[str, int], senders: list[Sender], batches: int) -> list[Sent]:
    sent = send(address, senders, batches)
    refusals = [refusal for each in sent for refusal in each.refusals]
    if refusals:
        raise BenchFailed(f"{len(refusals)} batches were not stored: {refusals[0]}")
    return sent


def _figures(sent: list[Sent], rows: int, copied: float) -> IngestFigures:
    seconds = max(each.ended for each in sent) - min(each.started for each in sent)
    latencies = sorted(second for each in sent for second in each.seconds)
    return IngestFigures(
        samples_per_second=round(rows / seconds),
        p50_ms=round(latencies[len(latencies) // 2] * 1_000, 1),
        p99_ms=round(latencies[len(latencies) * 99 // 100] * 1_000, 1),
        share_of_copy=round(copied / seconds, 3),
        copy_rows_per_second=round(rows / copied),
        batches=len(latencies),
        samples_per_batch=SAMPLES_PER_BATCH,
    )


def _enrolled(address: tuple[str, int]) -> Sender:
    key = Ed25519PrivateKey.generate()
    document = {
        "token": enrolment_token(),
        "name": "bench",
        "public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
    }
    connection = http.client.HTTPConnection(*address, timeout=START_SECONDS_MAX)
    connection.request(
        "POST", ENROL_PATH, json.dumps(document), {"Content-Type": "application/json"}
    )
    answer = connection.getresponse()
    members = json.loads(answer.read())
    connection.close()
    if answer.status != 201:
        raise BenchFailed(f"enrolment was answered {answer.status}: {members}")
    return Sender(key.private_bytes_raw(), members["key_id"])
