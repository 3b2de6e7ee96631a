"""What ingest is measured against: a bare binary COPY of the same rows by two connections at once,
into a table of the same columns with neither indexes nor partitions."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg

from metering.bench.together import run_together, serve
from metering.bench.workload import SAMPLES_PER_BATCH, make_work
from metering.copy_rows import SIGNATURE, TRAILER, CopyStream, InstanceIds, copy_stream
from metering.wire_body import decode_batch

_CONNECTIONS = 2
_TABLE = "bench_yardstick"


def copied_seconds(rows: int) -> float:
    """How long it takes to copy `rows` rows, half by each connection, in one COPY each, until both
    have committed. The rows are packed beforehand. Raises BenchFailed."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {_TABLE}".encode())
        connection.execute(f"CREATE TABLE {_TABLE} (LIKE metering_sample)".encode())
    batches = rows // SAMPLES_PER_BATCH
    shares = [batches // _CONNECTIONS, batches - batches // _CONNECTIONS]
    spans = run_together("metering.bench.yardstick", [n * SAMPLES_PER_BATCH for n in shares])
    return float(max(end for _, end in spans) - min(start for start, _ in spans))


def _prepare(rows: int) -> Callable[[], tuple[float, float]]:
    work = make_work(seed=1)
    streams = [_stream(body) for body in work.bodies(str(uuid4()), len(work.samples))]
    chosen = [streams[number % len(streams)] for number in range(rows // SAMPLES_PER_BATCH)]
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    return lambda: _copy(connection, chosen)


def _copy(connection: "psycopg.Connection[Any]", streams: list[CopyStream]) -> tuple[float, float]:
    """When it started and ended, in seconds of the machine's monotonic clock."""
    started = time.monotonic()
    with connection.cursor() as cursor, cursor.copy(streams[0].statement(_TABLE)) as copy:
        copy.write(SIGNATURE)
        for stream in streams:
            copy.write(stream.data)
        copy.write(TRAILER)
    connection.commit()
    return started, time.monotonic()


def _stream(body: bytes) -> CopyStream:
    """A batch's rows, packed, without the stream's head and end."""
    batch = decode_batch(body, as_of=datetime.now(UTC))
    ids = {source[:3]: InstanceIds(uuid4(), uuid4()) for source in batch.distinct_sources}
    measurements = {key: uuid4() for key in batch.measurements}
    stream = copy_stream(
        batch, tenant_id=uuid4(), batch_id=uuid4(), ids=ids, measurements=measurements
    )
    return replace(stream, data=stream.data[len(SIGNATURE) : -len(TRAILER)])


if __name__ == "__main__":
    serve(_prepare)
