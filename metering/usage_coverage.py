"""What was used, and for how much of the time it was measured, bucket by bucket: of all the
periods together, and so in one pass. Every query runs inside a tenant's scope.

A bucket without any window is left out: nothing ran there, or nobody looked. What hosts owe for the
time since they fell silent stands in coverage.py.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Expression, F, Sum, Value
from hostmeter_agent.wire import kind_of

from metering.core.hours import day_of, hours_beyond, local_midnights, split_days
from metering.rollup_models import DayRollup, HourRollup
from metering.usage import LocalTrunc, add_quantity, combined
from metering.usage_points import ALL, KEYS, Key, Part, sources_of, start_of
from metering.usage_points import Bucket as BucketSize
from metering.usage_rows import UsagePeriod, rows_of, within

_HALF_DAY: Final = timedelta(hours=12)

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


@dataclass(frozen=True, slots=True)
class _Found:
    quantity: int | None
    window_us: int
    covered_us: int


class _Sums:
    """What lies in each place. One from which something is taken away can no longer tell nothing
    measured from nothing used, if nothing is left: then it is not `certain`."""

    def __init__(self, meter: str) -> None:
        self._meter = meter
        self._quantities: dict[_Place, int] = {}
        self._times: defaultdict[_Place, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._lessened: set[_Place] = set()

    def add(self, place: _Place, found: _Found) -> None:
        window, covered = self._times[place]
        self._times[place] = window + found.window_us, covered + found.covered_us
        if found.quantity is not None:
            add_quantity(self._quantities, place, self._meter, found.quantity)

    def take(self, place: _Place, found: _Found) -> None:
        self._lessened.add(place)
        less = None if found.quantity is None else -found.quantity
        self.add(place, _Found(less, -found.window_us, -found.covered_us))

    @property
    def is_certain(self) -> bool:
        return all(self._is_something(place) for place in self._lessened)

    def _is_something(self, place: _Place) -> bool:
        quantity = self._quantities.get(place)
        return self._times[place][0] != 0 if quantity is None else quantity != 0

    def buckets(self) -> dict[_Place, Bucket]:
        return {
            place: Bucket(self._quantities.get(place), Covered(window, covered) if window else None)
            for place, (window, covered) in self._times.items()
        }


def _used(asked: _Asked) -> dict[_Place, Bucket]:
    if not asked.periods:
        return {}
    sums = _by_days_of_utc(asked) if _can_be_put_right(asked) else None
    if sums is None or not sums.is_certain:
        sums = _Sums(asked.meter)
        start = min(period.start for period in asked.periods)
        at = start_of(asked.bucket, asked.time_zone, start)
        groups = [] if asked.group is None else [asked.group]
        for rows in sources_of(asked.periods, asked.bucket, asked.time_zone, groups, asked.part):
            for (begins, *key), found in _grouped(asked, rows, at=at):
                sums.add((begins.astimezone(UTC), *key), found)
    return sums.buckets()


def _grouped(
    asked: _Asked, rows: Any, **starts: Expression | F
) -> Iterator[tuple[Sequence[Any], _Found]]:
    """The starts and the key of each group, and what was found there."""
    places = rows.order_by().annotate(**starts).values_list(*starts, *asked.keys)
    for *place, quantity, window_us, covered_us in places.annotate(
        used=combined(asked.meter), windows=Sum("window_us"), measured=Sum("covered_us")
    ):
        used = None if quantity is None else int(quantity)
        yield place, _Found(used, int(window_us), int(covered_us))


def _can_be_put_right(asked: _Asked) -> bool:
    """Whether the buckets are days or months that are none of UTC and add up from those. What has
    an instance or a host is told by no days; nothing can be taken away from a maximum."""
    of_days = asked.part.is_all and asked.group not in ("instance", "host")
    if asked.bucket not in ("day", "month") or not of_days or kind_of(asked.meter) == "maximum":
        return False
    starts = _midnights(asked)
    return any(each.hour for each in starts) and not any(each.minute for each in starts)


def _midnights(asked: _Asked) -> list[datetime]:
    first, last = min(p.start for p in asked.periods), max(p.end for p in asked.periods)
    return local_midnights(first, last, ZoneInfo(asked.time_zone))


def _by_days_of_utc(asked: _Asked) -> _Sums:
    """Each day of UTC in the bucket that its noon lies in, but for the hours on the other side of
    a midnight: these are taken away there and added where they belong."""
    sums, zone = _Sums(asked.meter), ZoneInfo(asked.time_zone)
    name, time_zone = Value(asked.bucket), Value(asked.time_zone)
    at = LocalTrunc(name, F("bucket_start"), time_zone)
    noon = LocalTrunc(Value("day"), F("bucket_start"), Value("UTC")) + Value(_HALF_DAY)
    at_noon = LocalTrunc(name, noon, time_zone)
    for rows in rows_of(asked.periods, None, ()):
        for (begins, *key), found in _grouped(
            asked, rows, at=at_noon if rows.model is DayRollup else at
        ):
            sums.add((begins.astimezone(UTC), *key), found)
    starts = [
        each for each in _midnights(asked)
        if asked.bucket == "day" or each.astimezone(zone).day == 1
    ]  # fmt: skip
    cut = split_days(bound for period in asked.periods for bound in (period.start, period.end))
    beyond = [hour for hour in hours_beyond(starts) if day_of(hour) not in cut]
    hours = within(HourRollup.objects.filter(bucket_start__in=beyond), asked.periods)
    for (begins, counted, *key), found in _grouped(asked, hours, at=at, counted=at_noon):
        sums.add((begins.astimezone(UTC), *key), found)
        sums.take((counted.astimezone(UTC), *key), found)
    return sums


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
