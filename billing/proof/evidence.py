"""What stands behind an invoice's usage, row by row, as it was there when the invoice was rated.
Every query runs inside a tenant's scope and only reads."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from django.db import connection
from django.db.models import Model, Q, QuerySet
from hostmeter_agent.wire import METERS

from billing.core.proof.behind import window_of
from billing.core.proof.records import BatchRecord, EventRecord, HourDigest, RollupRecord
from metering.core.aggregation import Aggregate, MeasuredWindow, RollupKey, aggregates
from metering.core.buckets import BUCKET
from metering.core.corrections import corrected
from metering.core.hours import HOUR, hour_of
from metering.corrections import core_corrections, corrections_in
from metering.cuts import Cut
from metering.models import HostKey, Instance, Measurement, Sample
from metering.rollup_models import Rollup
from metering.sql import statement
from metering.stated_models import Correction, Event
from metering.usage_rows import UsagePeriod

_ROWS_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Behind:
    """The usage of some stretches of time, as far as it was there at the cut."""

    periods: Sequence[UsagePeriod]
    cut: Cut

    def of(self, application_id: UUID) -> "Behind":
        """What is of one application."""
        own = [each for each in self.periods if each.application_id == application_id]
        return Behind(own, self.cut)

    def holds(self, application_id: UUID, bucket: datetime) -> bool:
        """Whether a bucket is in one of the stretches."""
        return any(
            each.application_id == application_id and each.start <= bucket < each.end
            for each in self.periods
        )

    def parameters(self, start: datetime | None = None, end: datetime | None = None) -> Any:
        """Of the SQL, for the windows that start in [start, end)."""
        starts, ends = [each.start for each in self.periods], [each.end for each in self.periods]
        # A window that starts before its period does may lie in a bucket that does not.
        first, last = min(starts, default=self.cut.at), max(ends, default=self.cut.at) + BUCKET
        return {
            "applications": [each.application_id for each in self.periods],
            "starts": starts,
            "ends": ends,
            "range_start": first if start is None else max(first, start),
            "range_end": last if end is None else min(last, end),
            **self.cut.parameters(),
        }


def batches_behind(behind: Behind) -> Iterator[BatchRecord]:
    """The signed batches, in the order of host, epoch and sequence."""
    for row in _rows("batches_behind", behind.parameters()):
        host, epoch, sequence, samples, used, digest, key_id, *headers, received_at = row
        signature_input, signature, content_digest, signature_base = headers
        yield BatchRecord(
            host=str(host),
            epoch=str(epoch),
            sequence=sequence,
            samples=samples,
            used=used,
            digest=bytes(digest).hex(),
            key_id=key_id,
            signature_input=signature_input,
            signature=signature,
            content_digest=content_digest,
            signature_base=signature_base,
            received_at=received_at,
        )


def digests_behind(behind: Behind) -> Iterator[HourDigest]:
    """Each application's samples of each UTC hour, in order."""
    for application, hour, samples, digest in _rows("sample_digests", behind.parameters()):
        yield HourDigest(str(application), hour, samples, bytes(digest).hex())


def sample_lines(behind: Behind, start: datetime, end: datetime) -> Iterator[str]:
    """The samples of every hour that [start, end) touches, in the order of application, hour and
    line."""
    last = hour_of(end - BUCKET) + HOUR
    for _, _, written in _rows("sample_lines", behind.parameters(hour_of(start), last)):
        yield written


def _rows(name: str, parameters: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Rows as they come, without all of them in memory."""
    connection.ensure_connection()
    with psycopg.ServerCursor(connection.connection, f"proof_{uuid4().hex}") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        with _planned_for_many():
            cursor.execute(statement(name), parameters)
        yield from cursor


@contextmanager
def _planned_for_many() -> Iterator[None]:
    """Have what is planned meanwhile join by hashes. Where the tables' statistics are older than
    their rows the planner takes samples for a few and goes through all batches for each."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('enable_nestloop')")
        (before,) = cursor.fetchone() or ("on",)
        cursor.execute("SET LOCAL enable_nestloop = off")
        yield
        cursor.execute("SELECT set_config('enable_nestloop', %s, true)", [before])


def rollups_behind(behind: Behind) -> Iterator[RollupRecord]:
    """The rollups in the order of application, bucket, instance and role. A bucket that has had
    samples since is computed from those that it had then."""
    late = set(_rows("buckets_with_late_samples", behind.parameters())) | _late_otherwise(behind)
    yield from merge(_kept(behind, late), _as_they_were(behind, late), key=_order)


def _order(rollup: RollupRecord) -> tuple[str, datetime, str, str]:
    return rollup.application, rollup.start, rollup.instance, rollup.role


def _kept(behind: Behind, late: set[tuple[Any, ...]]) -> Iterator[RollupRecord]:
    by_application: defaultdict[UUID, list[UsagePeriod]] = defaultdict(list)
    for each in behind.periods:
        by_application[each.application_id].append(each)
    for application_id in sorted(by_application, key=str):
        for period in sorted(by_application[application_id], key=lambda each: each.start):
            rows = Rollup.objects.filter(
                application_id=application_id,
                bucket_start__gte=period.start,
                bucket_start__lt=period.end,
            ).order_by("bucket_start", "instance_id", "role")
            for row in rows.iterator(_ROWS_AT_ONCE):
                if (row.application_id, row.bucket_start) not in late:
                    yield _record(row)


def _record(row: Rollup) -> RollupRecord:
    return RollupRecord(
        application=str(row.application_id),
        start=row.bucket_start,
        instance=str(row.instance_id),
        role=row.role,
        samples=row.samples,
        window_us=row.window_us,
        covered_us=row.covered_us,
        usage=_usage_of(row, row.more),
        measured=frozenset(None if each is None else str(each) for each in row.measurements),
    )


def _late_otherwise(behind: Behind) -> set[tuple[Any, ...]]:
    """The buckets with events and corrections that came later."""
    late: set[tuple[Any, ...]] = set()
    for row in _events_in(behind).exclude(behind.cut.holds("received_at")):
        late.add((row.application_id, row.bucket_start))
    for each in corrections_in(behind.periods).exclude(behind.cut.holds("created_at")):
        buckets = range((each.ends_at - each.starts_at) // BUCKET)
        late |= {(each.application_id, each.starts_at + at * BUCKET) for at in buckets}
    return late


def _as_they_were(behind: Behind, late: set[tuple[Any, ...]]) -> list[RollupRecord]:
    inside = [bucket for bucket in late if behind.holds(*bucket)]
    corrections = core_corrections(corrections_before(behind))
    records: list[RollupRecord] = []
    for application_id, bucket in inside:
        samples = Sample.objects.filter(
            behind.cut.holds("batch__received_at"),
            application_id=application_id,
            window_start__gte=bucket,
            window_start__lt=bucket + BUCKET,
        )
        events = Event.objects.filter(
            behind.cut.holds("received_at"), application_id=application_id, bucket_start=bucket
        )
        windows = [*map(_window, samples), *(window_of(_event(each)) for each in events)]
        own = [
            each
            for each in corrections
            if each.application_id == application_id and each.start <= bucket < each.end
        ]
        found = corrected(aggregates(windows), own, [(application_id, bucket)])
        records += [_computed(key, each) for key, each in found.items()]
    return sorted(records, key=_order)


def _computed(key: RollupKey, found: Aggregate) -> RollupRecord:
    return RollupRecord(
        application=str(key.application_id),
        start=key.bucket_start,
        instance=str(key.instance_id),
        role=key.role,
        samples=found.samples,
        window_us=found.window_us,
        covered_us=found.covered_us,
        usage=found.usage,
        measured=frozenset(None if each is None else str(each) for each in found.measurements),
    )


def events_behind(behind: Behind) -> Iterator[EventRecord]:
    """The events in the order of application, bucket, instance, source and id."""
    known = _events_in(behind).filter(behind.cut.holds("received_at"))
    ordered = known.order_by("application_id", "bucket_start", "instance_id", "source", "event_id")
    yield from map(_event, ordered.iterator(_ROWS_AT_ONCE))


def _events_in(behind: Behind) -> "QuerySet[Event]":
    wanted = Q()
    for period in behind.periods:
        wanted |= Q(
            application_id=period.application_id,
            bucket_start__gte=period.start,
            bucket_start__lt=period.end,
        )
    return Event.objects.filter(wanted)


def _event(row: Event) -> EventRecord:
    return EventRecord(
        source=row.source,
        id=row.event_id,
        application=str(row.application_id),
        instance=str(row.instance_id),
        time=row.time,
        meter=row.meter,
        quantity=row.quantity,
        properties=row.data,
    )


def corrections_before(behind: Behind) -> list[Correction]:
    """The corrections that had been made, in their order."""
    return list(corrections_in(behind.periods).filter(behind.cut.holds("created_at")))


def instances_with(ids: Collection[str]) -> list[Instance]:
    """The instances with these ids, in their order."""
    return list(Instance.objects.filter(pk__in=ids).order_by("pk"))


def _window(sample: Sample) -> MeasuredWindow:
    return MeasuredWindow(
        application_id=sample.application_id,
        instance_id=sample.instance_id,
        role=sample.role,
        start=sample.window_start,
        end=sample.window_end,
        coverage_ppm=sample.coverage_ppm,
        usage=_usage_of(sample, sample.more),
        measurement=sample.measurement_id,
    )


def _usage_of(row: Model, more: Mapping[str, int] | None) -> dict[str, int]:
    built_in = ((meter.name, getattr(row, meter.column)) for meter in METERS)
    usage = {name: int(value) for name, value in built_in if value is not None}
    return usage | dict(more or {})


def profiles_with(ids: set[str]) -> Iterator[dict[str, Any]]:
    """The profiles with these ids, in their order."""
    for row in Measurement.objects.filter(pk__in=ids).order_by("pk"):
        yield {"id": str(row.pk), "sha256": bytes(row.digest).hex(), "body": row.body}


def keys_named(named: Collection[str]) -> list[HostKey]:
    """The hosts' keys with these names, oldest first."""
    return list(HostKey.objects.filter(key_id__in=named).order_by("created_at", "key_id"))
