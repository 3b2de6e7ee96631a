"""`bench billing`: closing a month for every customer of a tenant, in Celery workers."""

import math
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

from django.db.models import Sum

from billing.bench.month import END, Month, make_month
from billing.bench.processes import Worker, celery_worker, database_cpu_seconds
from billing.models import BillingShard, Invoice, InvoiceLine
from billing.operations.runs import start_run
from billing.queries import upcoming_invoice
from billing.tasks import work_on_run
from metering.bench.together import BenchFailed
from tenants.models import Customer
from tenants.scope import tenant_scope

WORKERS: Final = 2
# All of the month's usage is there, and the period still runs.
_ASKED_AT: Final = END + timedelta(minutes=30)
_CLOSED_AT: Final = datetime(2026, 11, 2, tzinfo=UTC)
_STALLED_SECONDS: Final = 120
_LOOK_SECONDS: Final = 0.2


@dataclass(slots=True)
class _Spent:
    seconds: float = 0.0
    workers: float = 0.0
    database: float | None = None
    peak_memory_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class BillingFigures:
    """`database_share` is the database's part of all processor time that closing took; None where
    its processes are not to be seen. `peak_memory_mb` is the largest worker process."""

    customers: int
    hours_of_usage: int
    invoices: int
    lines: int
    seconds: float
    invoices_per_second: float
    cpu_ms_per_invoice: float | None
    database_share: float | None
    peak_memory_mb: float
    workers_killed: int
    upcoming_p50_ms: float
    upcoming_p99_ms: float


def measure_billing(
    customers: int, kills: int, previews: int, progress: Callable[[str], None]
) -> BillingFigures:
    """Runs inside scratch_database(). Raises BenchFailed where an invoice is missing, doubled or
    wrong."""
    month = make_month(customers, progress)
    progress(f"asking for {previews} upcoming invoices")
    asked = _preview_seconds(month, previews)
    progress(f"closing the month of {customers} customers")
    spent = _close(month, kills, progress)
    invoices, lines = _counted(month)
    cpu = None if spent.database is None else spent.workers + spent.database
    return BillingFigures(
        customers=customers,
        hours_of_usage=month.hours,
        invoices=invoices,
        lines=lines,
        seconds=round(spent.seconds, 2),
        invoices_per_second=round(invoices / spent.seconds, 1),
        cpu_ms_per_invoice=None if cpu is None else round(cpu / invoices * 1_000, 2),
        database_share=(
            None if cpu is None or spent.database is None else round(spent.database / cpu, 2)
        ),
        peak_memory_mb=round(spent.peak_memory_mb, 1),
        workers_killed=kills,
        upcoming_p50_ms=_rank(asked, 50),
        upcoming_p99_ms=_rank(asked, 99),
    )


def _rank(seconds: list[float], percent: int) -> float:
    ordered = sorted(seconds)
    return round(ordered[math.ceil(len(ordered) * percent / 100) - 1] * 1_000, 1)


def _preview_seconds(month: Month, previews: int) -> list[float]:
    with tenant_scope(month.tenant_id):
        customers = list(Customer.objects.order_by("reference"))
    chosen = random.Random(1).choices(customers, k=previews)  # noqa: S311  a fixed choice
    seconds = []
    for customer in chosen:
        started = time.perf_counter()
        with tenant_scope(month.tenant_id):
            upcoming = upcoming_invoice(customer, as_of=_ASKED_AT)
        seconds.append(time.perf_counter() - started)
        if upcoming is None or not upcoming.total:
            raise BenchFailed(f"{customer.reference} has no upcoming invoice")
    return seconds


def _close(month: Month, kills: int, progress: Callable[[str], None]) -> _Spent:
    queue = f"bench-{os.getpid()}"
    before = database_cpu_seconds()
    started = time.monotonic()
    with tenant_scope(month.tenant_id):
        run = start_run(as_of=_CLOSED_AT, at=_CLOSED_AT)
        shards = BillingShard.objects.count()
    if run is None:
        raise BenchFailed("nothing is due")
    spent = _Spent(seconds=time.monotonic() - started)
    for left in range(kills, -1, -1):
        with _logged_worker(queue) as worker:
            started = time.monotonic()
            for _ in range(WORKERS):
                work_on_run.apply_async((str(month.tenant_id), str(run.pk)), queue=queue)
            _await(month.tenant_id, worker, shards * left // (kills + 1))
            spent.seconds += time.monotonic() - started
            if left:
                progress("kill -9 of the workers")
                worker.kill()
        spent.workers += worker.cpu_seconds
        spent.peak_memory_mb = max(spent.peak_memory_mb, worker.peak_memory_mb)
    after = database_cpu_seconds()
    spent.database = None if before is None or after is None else after - before
    return spent


@contextmanager
def _logged_worker(queue: str) -> Iterator[Worker]:
    """Raises BenchFailed with the worker's last words where it could not be used."""
    with TemporaryDirectory() as folder:
        log = Path(folder, "worker.log")
        try:
            with celery_worker(queue, WORKERS, log) as worker:
                yield worker
        except BenchFailed as failed:
            said = log.read_text(errors="replace").splitlines()
            raise BenchFailed(f"{failed}: {said[-1] if said else 'no word'}") from failed


def _await(tenant_id: UUID, worker: Worker, open_shards: int) -> None:
    """Until no more than so many shards are open; the run's end where that is 0."""
    before, since = -1, time.monotonic()
    while True:
        worker.look()
        with tenant_scope(tenant_id):
            now_open = BillingShard.objects.filter(done_at=None).count()
        if now_open <= open_shards:
            return
        if now_open != before:
            before, since = now_open, time.monotonic()
        if time.monotonic() - since > _STALLED_SECONDS or worker.process.poll() is not None:
            raise BenchFailed(f"the workers stopped with {now_open} shards open")
        time.sleep(_LOOK_SECONDS)


def _counted(month: Month) -> tuple[int, int]:
    """Invoices and lines; each customer has one of each, and its lines sum to its total."""
    with tenant_scope(month.tenant_id):
        totals = dict(Invoice.objects.values_list("pk", "total"))
        billed = Invoice.objects.values("subscription_id").distinct().count()
        lines = InvoiceLine.objects.order_by().values("invoice_id")
        sums = dict(lines.annotate(sum=Sum("amount")).values_list("invoice_id", "sum"))
        failures = [each for shard in BillingShard.objects.all() for each in shard.failures]
        count = InvoiceLine.objects.count()
    if failures:
        raise BenchFailed(f"{len(failures)} failed, {failures[0]}")
    if not len(totals) == billed == month.customers:
        raise BenchFailed(f"{len(totals)} invoices of {billed} for {month.customers} customers")
    if totals != sums:
        raise BenchFailed("the lines of an invoice do not sum to its total")
    return len(totals), count
