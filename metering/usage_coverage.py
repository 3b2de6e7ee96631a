"""What was used, and for how much of the time it was measured, bucket by bucket: of all the
periods together, and so in one pass. Every query runs inside a tenant's scope.

A bucket without any window is left out: nothing ran there, or nobody looked. What hosts owe for the
time since they fell silent stands in coverage.py.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Sum

from metering.usage import add_quantity, combined
from metering.usage_points import ALL, Part, sources_of, start_of
from metering.usage_points import Bucket as BucketSize
from metering.usage_rows import UsagePeriod


@dataclass(frozen=True, slots=True)
class Covered:
    """`covered_us` of `window_us` µs of windows were measured, all instances added up."""

    window_us: int
    covered_us: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was used of one meter, None where it was not measured, and for how much of the time
    anything was."""

    quantity: int | None
    covered: Covered | None


def used_by_bucket(
    periods: Sequence[UsagePeriod],
    meter: str,
    *,
    bucket: BucketSize,
    time_zone: str,
    part: Part = ALL,
) -> dict[datetime, Bucket]:
    """By the bucket's start in UTC, what all of the periods' applications used together."""
    if not periods:
        return {}
    at = start_of(bucket, time_zone, min(period.start for period in periods))
    quantities: dict[datetime, int] = {}
    windows: Counter[datetime] = Counter()
    covered: Counter[datetime] = Counter()
    for rows in sources_of(periods, bucket, time_zone, (), part):
        grouped = rows.order_by().annotate(at=at).values_list("at")
        asked = grouped.annotate(
            used=combined(meter), windows=Sum("window_us"), measured=Sum("covered_us")
        )
        for begins, quantity, window_us, covered_us in asked:
            start = begins.astimezone(UTC)
            windows[start] += int(window_us)
            covered[start] += int(covered_us)
            if quantity is not None:
                add_quantity(quantities, start, meter, int(quantity))
    return {
        start: Bucket(quantities.get(start), Covered(window, covered[start]) if window else None)
        for start, window in windows.items()
    }


def meter_totals(
    periods: Sequence[UsagePeriod], meters: Sequence[str], *, time_zone: str, part: Part = ALL
) -> dict[str, int]:
    """What all of the periods' applications used together, by meter; one that was not measured at
    all is left out."""
    totals: dict[str, int] = {}
    if not periods:
        return totals
    aggregates = {f"meter_{index}": combined(meter) for index, meter in enumerate(meters)}
    for rows in sources_of(periods, "none", time_zone, (), part):
        row = rows.order_by().aggregate(**aggregates)
        for meter, name in zip(meters, aggregates, strict=True):
            if row[name] is not None:
                add_quantity(totals, meter, meter, int(row[name]))
    return totals
