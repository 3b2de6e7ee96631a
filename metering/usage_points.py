"""Usage in points, as programs and the portal ask for it: by application, environment, instance or
host, in buckets of a time zone. Inside a tenant's scope; quantities are exact integers in the
meter's wire unit."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import DateTimeField, Expression, F, Model, QuerySet, Value
from django.db.models.functions import Cast

from metering.core.hours import local_midnights
from metering.core.quality import NOT_STATED, Measured, in_order, profile_of
from metering.models import Measurement
from metering.rollup_models import DayRollup, HourRollup, LocalDay, Rollup
from metering.usage import LocalTrunc, add_quantity, combined
from metering.usage_rows import DAYS_OF_UTC, AnyRows, UsagePeriod, hours_of, rows_of, within

Bucket = Literal["5m", "hour", "day", "month", "none"]
Group = Literal["application", "environment", "instance"]
# Programs are told no hosts (decision 0034).
Key = Group | Literal["host"]

# Where a point begins, and what its keys are.
_Place = tuple[Any, ...]

POINTS_MAX: Final = 10_000
_ROWS_AT_ONCE: Final = 2_000
KEYS: Final[dict[Key, str]] = {
    "application": "application_id",
    "environment": "application__environment_id",
    "instance": "instance_id",
    "host": "instance__host_id",
}
# What rows of each kind are of; to cut an instant down to a local day takes as long as to read it.
_BUCKETS: Final[dict[type[Model], Bucket]] = {
    Rollup: "5m", HourRollup: "hour", DayRollup: "day", LocalDay: "day",
}  # fmt: skip
_HOUR: Final = timedelta(hours=1)


class TooManyPoints(Exception):
    """The answer would have more than 10,000 points."""


@dataclass(frozen=True, slots=True)
class Part:
    """One instance, or one host, that usage is asked of; without either it is all of it."""

    instance_id: UUID | None = None
    host_id: UUID | None = None

    @property
    def is_all(self) -> bool:
        return self.instance_id is None and self.host_id is None


ALL: Final = Part()


@dataclass(frozen=True, slots=True)
class Point:
    """A quantity in the bucket that starts at `start`, of what `keys` name. `measured` is how its
    usage was measured, the best first. What events and corrections state is on no host."""

    start: datetime
    meter: str
    keys: dict[Key, UUID | None]
    quantity: int
    measured: tuple[Measured, ...]

    @property
    def qualities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.quality for each in self.measured))


def usage_points(
    periods: Sequence[UsagePeriod],
    meters: Sequence[str],
    *,
    bucket: Bucket,
    time_zone: str,
    groups: Sequence[Key] = (),
    part: Part = ALL,
) -> list[Point]:
    """The sum, or the maximum of a `.max` meter, by groups and buckets, in order of time. Where a
    meter was not measured at all there is no point: absent is not zero.

    Raises TooManyPoints.
    """
    if not periods:
        return []
    start = min(period.start for period in periods)
    keys = [KEYS[group] for group in groups]
    quantities: dict[tuple[_Place, str], int] = {}
    behind: defaultdict[_Place, set[UUID | None]] = defaultdict(set)
    for rows in sources_of(periods, bucket, time_zone, groups, part):
        at = None if bucket == "none" else start_of(bucket, time_zone, start, rows)
        for place, profiles, own in _grouped(rows, at, keys, meters):
            behind[place].update(profiles)
            for meter, quantity in own:
                add_quantity(quantities, (place, meter), meter, quantity)
            if len(quantities) > POINTS_MAX:
                raise TooManyPoints(f"the answer would have over {POINTS_MAX} points")
    told = Told(behind.values())
    points = [
        Point(
            start if bucket == "none" else place[0].astimezone(UTC),
            meter,
            dict(zip(groups, place if bucket == "none" else place[1:], strict=True)),
            quantity,
            told.measured(behind[place], meter),
        )
        for (place, meter), quantity in quantities.items()
    ]
    return sorted(points, key=_order)


def _order(point: Point) -> tuple[Any, ...]:
    return (point.start, point.meter, *((key is not None, key) for key in point.keys.values()))


def sources_of(
    periods: Sequence[UsagePeriod],
    bucket: Bucket,
    time_zone: str,
    groups: Collection[Key],
    part: Part = ALL,
) -> Iterator[AnyRows]:
    """Whole days and hours and the buckets of those that are cut, where they tell as much; they do
    not say which instance, and an hour of some time zones is no hour of UTC."""
    zone = ZoneInfo(time_zone)
    by_hour = bucket != "hour" or _has_whole_hours(periods, zone)
    if part.is_all and bucket != "5m" and by_hour and not {"instance", "host"}.intersection(groups):
        if bucket == "hour":
            yield from hours_of(periods)
        elif bucket == "none":
            yield from rows_of(periods, None, ())
        else:
            days_of = DAYS_OF_UTC if _has_days_of_utc(periods, zone) else zone
            yield from rows_of(periods, days_of, ())
        return
    rows = within(Rollup.objects.all(), periods)
    if part.instance_id is not None:
        rows = rows.filter(instance=part.instance_id)
    yield rows if part.host_id is None else rows.filter(instance__host=part.host_id)


def _has_whole_hours(periods: Sequence[UsagePeriod], zone: ZoneInfo) -> bool:
    """Whether the zone's hours are those of UTC, at both ends of the time."""
    ends = (min(each.start for each in periods), max(each.end for each in periods))
    offsets = [each.astimezone(zone).utcoffset() or timedelta() for each in ends]
    return not any(offset % _HOUR for offset in offsets)


def _has_days_of_utc(periods: Sequence[UsagePeriod], zone: ZoneInfo) -> bool:
    """Whether each of the zone's days in the time is one of UTC."""
    ends = (min(each.start for each in periods), max(each.end for each in periods))
    return all(midnight.hour == midnight.minute == 0 for midnight in local_midnights(*ends, zone))


def _grouped(
    rows: "QuerySet[Any]", at: Expression | F | None, keys: Sequence[str], meters: Sequence[str]
) -> Iterator[tuple[_Place, Sequence[UUID | None], list[tuple[str, int]]]]:
    """Each place's quantities apart for each way of measuring, in one pass: the place, its
    profiles, and the meters that were measured. As a stream, which whoever has enough ends."""
    aggregates = {f"meter_{index}": combined(meter) for index, meter in enumerate(meters)}
    place = [*keys] if at is None else ["at", *keys]
    grouped = (rows if at is None else rows.annotate(at=at)).order_by()
    asked = grouped.values_list(*place, "measurements").annotate(**aggregates)
    for row in asked.iterator(chunk_size=_ROWS_AT_ONCE):
        own = zip(meters, row[len(place) + 1 :], strict=True)
        yield (
            row[: len(place)],
            row[len(place)],
            [(meter, int(quantity)) for meter, quantity in own if quantity is not None],
        )


def start_of(bucket: Bucket, time_zone: str, start: datetime, rows: AnyRows) -> Expression | F:
    """In which bucket each of sources_of's rows lies; `start` is where all of the time begins."""
    if bucket == _BUCKETS[rows.model]:
        return F("bucket_start")
    if bucket == "none":
        return Cast(Value(start), DateTimeField())
    return LocalTrunc(Value(bucket), F("bucket_start"), Value(time_zone))


class Told:
    """How usage was measured, by the profiles behind it: None stands for usage without one."""

    def __init__(self, behind: Iterable[Collection[UUID | None]]) -> None:
        ids = {each for some in behind for each in some if each is not None}
        bodies = Measurement.objects.filter(pk__in=ids).values_list("pk", "body")
        self._profiles = {pk: profile_of(body) for pk, body in bodies}
        # A thousand points are often measured in one way.
        self._known: dict[tuple[frozenset[UUID | None], str], tuple[Measured, ...]] = {}

    def measured(self, ids: Collection[UUID | None], meter: str) -> tuple[Measured, ...]:
        which = frozenset(ids), meter
        if which not in self._known:
            self._known[which] = in_order(self._by(each, meter) for each in ids)
        return self._known[which]

    def _by(self, profile: UUID | None, meter: str) -> Measured:
        known = None if profile is None else self._profiles.get(profile)
        return (known.of(meter) if known else None) or NOT_STATED
