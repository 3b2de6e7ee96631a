"""For how much of some time usage was measured, bucket by bucket. Every query runs inside a
tenant's scope.

A bucket without any window is left out: nothing ran there, or nobody looked. What hosts owe for the
time since they fell silent stands in coverage.py.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Sum

from metering.usage import add_quantity, combined
from metering.usage_points import ALL, Bucket, Part, sources_of, start_of
from metering.usage_rows import UsagePeriod


@dataclass(frozen=True, slots=True)
class Covered:
    """`covered_us` of `window_us` µs of windows were measured, all instances added up."""

    window_us: int
    covered_us: int


def covered_by_bucket(
    periods: Sequence[UsagePeriod], *, bucket: Bucket, time_zone: str, part: Part = ALL
) -> dict[datetime, Covered]:
    """By the bucket's start in UTC."""
    if not periods:
        return {}
    start = min(period.start for period in periods)
    at = start_of(bucket, time_zone, start)
    windows: Counter[datetime] = Counter()
    covered: Counter[datetime] = Counter()
    for rows in sources_of(periods, bucket, time_zone, (), part):
        grouped = rows.order_by().annotate(at=at).values_list("at")
        for begins, window_us, covered_us in grouped.annotate(Sum("window_us"), Sum("covered_us")):
            windows[begins.astimezone(UTC)] += int(window_us)
            covered[begins.astimezone(UTC)] += int(covered_us)
    return {each: Covered(window, covered[each]) for each, window in windows.items() if window}


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
