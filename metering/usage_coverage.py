"""What was used, and for how much of the time it was measured, bucket by bucket: of all the
periods together, and so in one pass. Every query runs inside a tenant's scope.

A bucket without any window is left out: nothing ran there, or nobody looked. What hosts owe for the
time since they fell silent stands in coverage.py.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Sum

from metering.usage import add_quantity, combined
from metering.usage_points import ALL, KEYS, Key, Part, sources_of, start_of
from metering.usage_points import Bucket as BucketSize
from metering.usage_rows import UsagePeriod

# A bucket's start, and what it is of where that is told apart.
_Place = tuple[Any, ...]


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
    found = _used(_Asked(periods, meter, bucket, time_zone, part))
    return {start: used for (start,), used in found.items()}


def used_by_group(
    periods: Sequence[UsagePeriod],
    meter: str,
    group: Key,
    *,
    bucket: BucketSize,
    time_zone: str,
    part: Part = ALL,
) -> dict[UUID | None, dict[datetime, int]]:
    """What was measured, as by used_by_bucket, apart for each environment, application, instance
    or host."""
    groups: defaultdict[UUID | None, dict[datetime, int]] = defaultdict(dict)
    for (start, key), used in _used(_Asked(periods, meter, bucket, time_zone, part, group)).items():
        if used.quantity is not None:
            groups[key][start] = used.quantity
    return groups


@dataclass(frozen=True, slots=True)
class _Asked:
    periods: Sequence[UsagePeriod]
    meter: str
    bucket: BucketSize
    time_zone: str
    part: Part
    group: Key | None = None

    @property
    def keys(self) -> list[str]:
        return [] if self.group is None else [KEYS[self.group]]


def _used(asked: _Asked) -> dict[_Place, Bucket]:
    if not asked.periods:
        return {}
    quantities: dict[_Place, int] = {}
    times: defaultdict[_Place, tuple[int, int]] = defaultdict(lambda: (0, 0))
    start = min(period.start for period in asked.periods)
    at = start_of(asked.bucket, asked.time_zone, start)
    groups = [] if asked.group is None else [asked.group]
    for rows in sources_of(asked.periods, asked.bucket, asked.time_zone, groups, asked.part):
        places = rows.order_by().annotate(at=at).values_list("at", *asked.keys)
        for begins, *key, quantity, window_us, covered_us in places.annotate(
            used=combined(asked.meter), windows=Sum("window_us"), measured=Sum("covered_us")
        ):
            place = begins.astimezone(UTC), *key
            window, covered = times[place]
            times[place] = window + int(window_us), covered + int(covered_us)
            if quantity is not None:
                add_quantity(quantities, place, asked.meter, int(quantity))
    return {
        place: Bucket(quantities.get(place), Covered(window, covered) if window else None)
        for place, (window, covered) in times.items()
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
