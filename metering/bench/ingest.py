"""`bench ingest`: signed batches over HTTP into the product, against a bare COPY of the rows."""

import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.utils import timezone
from hostmeter_agent.wire import ENROL_PATH

from metering.bench.load import Sender, Sent, send
from metering.bench.together import BenchFailed
from metering.bench.workload import SAMPLES_PER_BATCH
from metering.bench.yardstick import copied_seconds
from tenants.models import Environment, Tenant
from tenants.operations import issue_enrolment_token
from tenants.scope import installation_scope, tenant_scope

# As many as the yardstick has connections.
_SENDERS = 2
_WORKERS = 2
_START_SECONDS_MAX = 60


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
    with _web() as address:
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


@contextmanager
def _web() -> Iterator[tuple[str, int]]:
    """The product's web server as `up` starts it, with two workers, on a free loopback port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        os.set_inheritable(listener.fileno(), True)
        command = [sys.executable, "-m", "gunicorn", "config.wsgi:application"]
        command += ["--config", "python:config.runtime.gunicorn_conf"]
        command += ["--bind", f"fd://{listener.fileno()}", "--log-level", "warning"]
        environment = os.environ | {
            "WEB_CONCURRENCY": str(_WORKERS),
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS": "0",
            "MANIFEST_STATIC": "0",
            "INGEST_BATCHES_PER_MINUTE_HOST": "10000000",
            "INGEST_BATCHES_PER_MINUTE_TENANT": "100000000",
        }
        server = subprocess.Popen(
            command,
            env=environment,
            cwd=Path(settings.BASE_DIR),
            pass_fds=(listener.fileno(),),
        )
        try:
            address = listener.getsockname()
            _wait_until_healthy(server, address)
            yield address
        finally:
            server.terminate()
            server.wait()


def _wait_until_healthy(server: "subprocess.Popen[bytes]", address: tuple[str, int]) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < deadline and server.poll() is None:
        connection = http.client.HTTPConnection(*address, timeout=_START_SECONDS_MAX)
        try:
            connection.request("GET", "/health/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise BenchFailed("the web server did not start")


def _enrolled(address: tuple[str, int]) -> Sender:
    key = Ed25519PrivateKey.generate()
    document = {
        "token": _token(),
        "name": "bench",
        "public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
    }
    connection = http.client.HTTPConnection(*address, timeout=_START_SECONDS_MAX)
    connection.request(
        "POST", ENROL_PATH, json.dumps(document), {"Content-Type": "application/json"}
    )
    answer = connection.getresponse()
    members = json.loads(answer.read())
    connection.close()
    if answer.status != 201:
        raise BenchFailed(f"enrolment was answered {answer.status}: {members}")
    return Sender(key.private_bytes_raw(), members["key_id"])


def _token() -> str:
    with installation_scope():
        tenant, _ = Tenant.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
    with tenant_scope(tenant.pk):
        environment, _ = Environment.objects.get_or_create(name="bench")
        return issue_enrolment_token(environment, as_of=timezone.now())
