"""Usage bucket by bucket, for what cannot be told from totals. Every query runs inside a tenant's
scope."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from metering.core.hours import buckets_in
from metering.rollup_models import Rollup
from metering.usage import quantity_of
from metering.usage_rows import UsagePeriod, within


@dataclass(frozen=True, slots=True)
class RollupUsage:
    """One instance's rollup, of some meters: `usage` has those that were measured."""

    application_id: UUID
    instance_id: UUID
    role: str
    bucket_start: datetime
    window_us: int
    covered_us: int
    measurements: frozenset[UUID | None]
    usage: Mapping[str, int]


def rollups_in(
    periods: Sequence[UsagePeriod],
    meters: Sequence[str],
    hours: Collection[datetime] | None = None,
) -> Iterator[RollupUsage]:
    """Every rollup of the periods, or of those in some hours (UTC), in order of time."""
    if not periods:
        return
    rows = Rollup.objects.order_by("bucket_start", "application_id", "instance_id", "role")
    if hours is not None:
        rows = rows.filter(bucket_start__in=buckets_in(hours))
    named = {f"meter_{index}": quantity_of(meter) for index, meter in enumerate(meters)}
    columns = ("application_id", "instance_id", "role", "bucket_start", "window_us", "covered_us")
    every = within(rows, periods).annotate(**named)
    for row in every.values_list(*columns, "measurements", *named).iterator(chunk_size=10_000):
        usage = {
            meter: int(value)
            for meter, value in zip(meters, row[7:], strict=True)
            if value is not None
        }
        application, instance, role, start, window_us, covered_us, measured = row[:7]
        yield RollupUsage(
            application, instance, role, start, window_us, covered_us, frozenset(measured), usage
        )
