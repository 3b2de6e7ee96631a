"""Usage in points, as programs ask for it: by application, environment or instance, in buckets of
a time zone. Inside a tenant's scope; quantities are exact integers in the meter's wire unit."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

from django.db.models import DateTimeField, Expression, F, Func, QuerySet, Value
from django.db.models.functions import Cast

from metering.core.quality import NOT_STATED, Measured, Profile, in_order, profile_of
from metering.models import Measurement, Rollup
from metering.usage import LocalTrunc, UsagePeriod, combined, within

Bucket = Literal["5m", "hour", "day", "month", "none"]
Group = Literal["application", "environment", "instance"]

POINTS_MAX: Final = 10_000
_KEYS: Final[dict[Group, str]] = {
    "application": "application_id",
    "environment": "application__environment_id",
    "instance": "instance_id",
}


class TooManyPoints(Exception):
    """The answer would have more than 10,000 points."""


@dataclass(frozen=True, slots=True)
class Point:
    """A quantity in the bucket that starts at `start`, of what `keys` name. `qualities` are those
    in which its usage was measured, the best first."""

    start: datetime
    meter: str
    keys: dict[Group, UUID]
    quantity: int
    qualities: tuple[str, ...]


def usage_points(
    periods: Sequence[UsagePeriod],
    meters: Sequence[str],
    *,
    bucket: Bucket,
    time_zone: str,
    groups: Sequence[Group] = (),
) -> list[Point]:
    """The sum, or the maximum of a `.max` meter, by groups and buckets, in order of time. Where a
    meter was not measured at all there is no point: absent is not zero.

    Raises TooManyPoints.
    """
    if not periods:
        return []
    start = min(period.start for period in periods)
    keys = [_KEYS[group] for group in groups]
    at = _start_of(bucket, time_zone, start)
    rows = within(Rollup.objects.order_by(), periods).annotate(at=at).values("at", *keys)
    behind = _profiles_behind(rows, keys)
    points: list[Point] = []
    for meter in meters:
        found = rows.annotate(quantity=combined(meter)).filter(quantity__isnull=False)
        points += [
            Point(
                row["at"].astimezone(UTC),
                meter,
                {group: row[key] for group, key in zip(groups, keys, strict=True)},
                int(row["quantity"]),
                _qualities(behind[_place(row, keys)], meter),
            )
            for row in found[: POINTS_MAX + 1]
        ]
        if len(points) > POINTS_MAX:
            raise TooManyPoints(f"the answer would have over {POINTS_MAX} points")
    return sorted(points, key=lambda each: (each.start, each.meter, str(each.keys)))


def _start_of(bucket: Bucket, time_zone: str, start: datetime) -> Expression | F:
    if bucket == "5m":
        return F("bucket_start")
    if bucket == "none":
        return Cast(Value(start), DateTimeField())
    return LocalTrunc(Value(bucket), F("bucket_start"), Value(time_zone))


def _place(row: dict[str, Any], keys: Collection[str]) -> tuple[Any, ...]:
    return (row["at"], *(row[key] for key in keys))


def _profiles_behind(
    rows: "QuerySet[Rollup, dict[str, Any]]", keys: Collection[str]
) -> dict[tuple[Any, ...], list[Profile | None]]:
    """The profiles of each point's rollups; None among them for usage without one."""
    named = rows.annotate(profile=Func(F("measurements"), function="unnest")).distinct()
    ids: defaultdict[tuple[Any, ...], list[UUID | None]] = defaultdict(list)
    for row in named:
        ids[_place(row, keys)].append(row["profile"])
    wanted = {each for some in ids.values() for each in some if each is not None}
    bodies = Measurement.objects.filter(pk__in=wanted).values_list("pk", "body")
    profiles = {pk: profile_of(body) for pk, body in bodies}
    return {
        place: [None if each is None else profiles.get(each) for each in some]
        for place, some in ids.items()
    }


def _qualities(profiles: Collection[Profile | None], meter: str) -> tuple[str, ...]:
    measured: list[Measured] = [
        (profile.of(meter) if profile else None) or NOT_STATED for profile in profiles
    ]
    return tuple(dict.fromkeys(each.quality for each in in_order(measured)))
