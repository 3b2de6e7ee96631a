"""What was used, and for how much of the time it was measured, bucket by bucket: of all the
periods together, and so in one pass. Every query runs inside a tenant's scope.

A bucket without any window is left out: nothing ran there, or nobody looked. What hosts owe for the
time since they fell silent stands in coverage.py.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Sum

from metering.usage import add_quantity, combined
from metering.usage_points import (
    ALL,
    KEYS,
    POINTS_MAX,
    Key,
    Part,
    TooManyPoints,
    sources_of,
    start_of,
)
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


@dataclass(frozen=True, slots=True)
class Asked:
    """How much of one meter was used in some periods, in buckets of a time zone."""

    periods: Sequence[UsagePeriod]
    meter: str
    bucket: BucketSize
    time_zone: str
    part: Part = ALL


def used_by_bucket(asked: Asked) -> dict[datetime, Bucket]:
    """By the bucket's start in UTC, what all of the periods' applications used together."""
    quantities: dict[datetime, int] = {}
    times: defaultdict[datetime, tuple[int, int]] = defaultdict(lambda: (0, 0))
    sums = {"windows": Sum("window_us"), "measured": Sum("covered_us")}
    for (start,), quantity, window_us, covered_us in _grouped(asked, **sums):
        window, covered = times[start]
        times[start] = window + int(window_us), covered + int(covered_us)
        if quantity is not None:
            add_quantity(quantities, start, asked.meter, int(quantity))
    return {
        start: Bucket(quantities.get(start), Covered(window, covered) if window else None)
        for start, (window, covered) in times.items()
    }


def quantity_by_bucket(asked: Asked) -> dict[datetime, int]:
    """As used_by_bucket, where anything was measured; how much of the time is not asked."""
    quantities: dict[datetime, int] = {}
    for (start,), quantity in _grouped(asked):
        if quantity is not None:
            add_quantity(quantities, start, asked.meter, int(quantity))
    return quantities


def quantity_by_group(asked: Asked, group: Key) -> dict[UUID | None, dict[datetime, int]]:
    """As quantity_by_bucket, apart for each environment, application, instance or host.

    Raises TooManyPoints.
    """
    groups: defaultdict[UUID | None, dict[datetime, int]] = defaultdict(dict)
    count = 0
    for (start, key), quantity in _grouped(asked, group):
        if quantity is not None:
            count += start not in groups[key]
            add_quantity(groups[key], start, asked.meter, int(quantity))
        if count > POINTS_MAX:
            raise TooManyPoints(f"the answer would have over {POINTS_MAX} points")
    return groups


def _grouped(asked: Asked, *groups: Key, **sums: Sum) -> Iterator[tuple[Any, ...]]:
    """A bucket's start in UTC with the groups' keys, its quantity and its sums. One place can come
    more than once."""
    if not asked.periods:
        return
    keys = [KEYS[each] for each in groups]
    first = min(period.start for period in asked.periods)
    for rows in sources_of(asked.periods, asked.bucket, asked.time_zone, groups, asked.part):
        at = start_of(asked.bucket, asked.time_zone, first, rows)
        places = rows.order_by().annotate(at=at).values_list("at", *keys)
        for begins, *found in places.annotate(used=combined(asked.meter), **sums).iterator():
            place = begins.astimezone(UTC), *found[: len(keys)]
            yield place, *found[len(keys) :]


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
