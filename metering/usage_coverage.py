"""What was used, and for how much of the time it was measured, bucket by bucket: of all the
periods together, and so in one pass. Every query runs inside a tenant's scope.

A bucket without any window is left out: nothing ran there, or nobody looked. What hosts owe for the
time since they fell silent stands in coverage.py.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Expression, F, UUIDField, Value
from hostmeter_agent.wire import kind_of

from metering.core.quality import Measured
from metering.sql import statement
from metering.usage import add_quantity, combined, quantity_of
from metering.usage_points import (
    ALL,
    KEYS,
    POINTS_MAX,
    Key,
    Part,
    Told,
    TooManyPoints,
    sources_of,
    start_of,
)
from metering.usage_points import Bucket as BucketSize
from metering.usage_rows import AnyRows, UsagePeriod

# Of one kind of rows: a group comes once for each way in which it was measured.
_GROUPS_MAX: Final = 5 * POINTS_MAX


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


@dataclass(frozen=True, slots=True)
class Share:
    """How much of it one group used in all, and how that was measured, the best first."""

    quantity: int
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Used:
    """By the bucket's start in UTC, what all of the periods' applications used together; and what
    each group used of it. A group of which nothing was measured is left out."""

    buckets: Mapping[datetime, Bucket]
    shares: Mapping[UUID | None, Share]


def used(asked: Asked, group: Key | None = None) -> Used:
    """Buckets and, if it is given, groups, of one reading of the rows.

    Raises TooManyPoints.
    """
    found = _Found(asked.meter)
    if asked.periods:
        groups = [] if group is None else [group]
        first = min(period.start for period in asked.periods)
        for rows in sources_of(asked.periods, asked.bucket, asked.time_zone, groups, asked.part):
            at = start_of(asked.bucket, asked.time_zone, first, rows)
            found.add(_by_bucket_and_group(asked.meter, rows, at, group))
    return found.used()


def _by_bucket_and_group(
    meter: str, rows: AnyRows, at: Expression | F, group: Key | None
) -> list[tuple[Any, ...]]:
    """Each bucket's quantity and times, and each group's quantity by how it was measured: grouping
    sets, which Django does not write, of rows that it does."""
    keys, sets = "NULL, NULL", "(at)"
    key: Expression | F = Value(None, UUIDField())
    if group is not None:
        keys, sets = "key, measurements", "(at), (key, measurements)"
        key = F(KEYS[group])
    columns = (
        rows.order_by()
        .annotate(at=at, key=key, quantity=quantity_of(meter))
        .values("at", "key", "measurements", "quantity", "window_us", "covered_us")
    )
    inner, parameters = columns.query.sql_with_params()
    text = statement("by_bucket_and_group").format(
        rows=inner,
        combined="max" if kind_of(meter) == "maximum" else "sum",
        keys=keys,
        sets=sets,
        limit=_GROUPS_MAX + 1,
    )
    with connection.cursor() as cursor:
        cursor.execute(text, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    if len(found) > _GROUPS_MAX:
        raise TooManyPoints(f"the answer would have over {_GROUPS_MAX} groups")
    return found


class _Found:
    """What several sources of rows have, put together."""

    def __init__(self, meter: str) -> None:
        self._meter = meter
        self._quantities: dict[datetime, int] = {}
        self._times: defaultdict[datetime, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._shares: dict[UUID | None, int] = {}
        self._behind: defaultdict[UUID | None, set[UUID | None]] = defaultdict(set)

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for is_group, at, key, profiles, quantity, window_us, covered_us in rows:
            if not is_group:
                start = at.astimezone(UTC)
                window, covered = self._times[start]
                self._times[start] = window + int(window_us), covered + int(covered_us)
                if quantity is not None:
                    add_quantity(self._quantities, start, self._meter, int(quantity))
            elif quantity is not None:
                add_quantity(self._shares, key, self._meter, int(quantity))
                self._behind[key].update(profiles)
        if len(self._shares) > POINTS_MAX:
            raise TooManyPoints(f"the answer would have over {POINTS_MAX} points")

    def used(self) -> Used:
        told = Told(self._behind.values())
        return Used(
            {
                start: Bucket(
                    self._quantities.get(start), Covered(window, covered) if window else None
                )
                for start, (window, covered) in self._times.items()
            },
            {
                key: Share(quantity, told.measured(self._behind[key], self._meter))
                for key, quantity in self._shares.items()
            },
        )


def quantity_by_group(asked: Asked, group: Key) -> dict[UUID | None, dict[datetime, int]]:
    """What was used, where anything was measured, by bucket and apart for each environment,
    application, instance or host.

    Raises TooManyPoints.
    """
    groups: defaultdict[UUID | None, dict[datetime, int]] = defaultdict(dict)
    if not asked.periods:
        return groups
    first, count = min(period.start for period in asked.periods), 0
    for rows in sources_of(asked.periods, asked.bucket, asked.time_zone, [group], asked.part):
        at = start_of(asked.bucket, asked.time_zone, first, rows)
        places = rows.order_by().annotate(at=at).values_list("at", KEYS[group])
        for begins, key, quantity in places.annotate(sum=combined(asked.meter)).iterator():
            if quantity is not None:
                start = begins.astimezone(UTC)
                count += start not in groups[key]
                add_quantity(groups[key], start, asked.meter, int(quantity))
            if count > POINTS_MAX:
                raise TooManyPoints(f"the answer would have over {POINTS_MAX} points")
    return groups


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
