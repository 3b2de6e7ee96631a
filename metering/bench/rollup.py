"""`bench rollup`: stored samples into rollups, and the processor time that it takes."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from metering.bench.workload import SAMPLES_PER_BATCH, make_work
from metering.ingest import store_batch
from metering.known_hosts import KnownHost
from metering.models import Host
from metering.rollup_models import Rollup
from metering.rollups import roll_up
from metering.signatures import Proof
from metering.wire_body import decode_batch
from tenants.models import Environment, Tenant
from tenants.scope import installation_scope, tenant_scope


@dataclass(frozen=True, slots=True)
class RollupFigures:
    """`cpu_us_per_sample` is this process and its database backend; None where the backend's time
    cannot be read because it runs elsewhere."""

    samples: int
    rollups: int
    samples_per_second: int
    cpu_us_per_sample: float | None
    backend_cpu_us_per_sample: float | None


def measure_rollup(batches: int, progress: Callable[[str], None]) -> RollupFigures:
    """Store `batches` batches, then roll them up. Runs inside scratch_database()."""
    tenant_id = _tenant_with_samples(batches, progress)
    samples = batches * SAMPLES_PER_BATCH
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone() or (0,)
    progress(f"rolling up {samples} samples")
    started, own, theirs = time.monotonic(), time.process_time(), _backend_seconds(backend)
    roll_up(tenant_id)
    seconds, own_seconds = time.monotonic() - started, time.process_time() - own
    after = _backend_seconds(backend)
    with tenant_scope(tenant_id):
        rollups = Rollup.objects.count()
    backend_us = None if theirs is None or after is None else (after - theirs) / samples * 1e6
    return RollupFigures(
        samples=samples,
        rollups=rollups,
        samples_per_second=round(samples / seconds),
        cpu_us_per_sample=(
            None if backend_us is None else round(backend_us + own_seconds / samples * 1e6, 2)
        ),
        backend_cpu_us_per_sample=None if backend_us is None else round(backend_us, 2),
    )


def _backend_seconds(process: int) -> float | None:
    """User and system time of a process on this machine, in the kernel's ticks of 10 ms."""
    try:
        name, fields = Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)
    except OSError:
        return None
    if "postgres" not in name:
        return None
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _tenant_with_samples(batches: int, progress: Callable[[str], None]) -> UUID:
    with installation_scope():
        tenant = Tenant.objects.create(slug="bench", name="Bench")
    with tenant_scope(tenant.pk):
        environment = Environment.objects.create(name="bench")
        host = Host.objects.create(name="bench", environment=environment)
    progress(f"storing {batches} batches")
    known = KnownHost(
        tenant_id=tenant.pk,
        host_id=host.pk,
        public_key=Ed25519PrivateKey.generate().public_key(),
        environment_id=environment.pk,
        environments={},
        expires_at=datetime.max.replace(tzinfo=UTC),
    )
    for body in make_work(seed=1).bodies(str(uuid4()), batches):
        now = datetime.now(UTC)
        proof = Proof(
            "bench", "", "", "", "", bytes(32), host_clock_ms=round(now.timestamp() * 1_000)
        )
        batch = decode_batch(body, as_of=now)
        store_batch(known, proof, batch, digest=bytes(32), as_of=now)
    return tenant.pk
