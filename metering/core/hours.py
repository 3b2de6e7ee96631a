"""Which hours (UTC), and days of a time zone, can be taken whole: those that no period and no local
day begins or ends inside."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from metering.core.buckets import BUCKET

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# For which years a zone is looked at: usage is of no other.
_FROM, _UNTIL = 2020, 2040
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hour_of(instant: datetime) -> datetime:
    """The start, in UTC, of the hour that `instant` lies in."""
    return instant.astimezone(UTC) - (instant - _EPOCH) % HOUR


def split_hours(bounds: Iterable[datetime]) -> set[datetime]:
    """The hours (UTC) with one of `bounds` inside, not at their start."""
    return {hour_of(bound) for bound in bounds if bound != hour_of(bound)}


def day_of(instant: datetime, zone: ZoneInfo) -> datetime:
    """When, in UTC, the zone's day begins that `instant` lies in."""
    return datetime.combine(instant.astimezone(zone).date(), time(), zone).astimezone(UTC)


def days_cut(bounds: Iterable[datetime], zone: ZoneInfo) -> set[datetime]:
    """The zone's days with one of `bounds` inside, not at their start."""
    return {day for bound in bounds if (day := day_of(bound, zone)) != bound}


def has_whole_day(start: datetime, end: datetime, zone: ZoneInfo) -> bool:
    """Whether one of the zone's days lies in [start, end)."""
    first = day_of(start, zone)
    first = first if first == start else _next_day(first, zone)
    return _next_day(first, zone) <= end


def hours_in(days: Iterable[datetime], zone: ZoneInfo) -> list[datetime]:
    """All hours of the zone's days."""
    return [
        day + number * HOUR
        for day in sorted(days)
        for number in range((_next_day(day, zone) - day) // HOUR)
    ]


def _next_day(day: datetime, zone: ZoneInfo) -> datetime:
    return day_of(day + 1.5 * DAY, zone)


@cache
def has_days_of_hours(name: str) -> bool:
    """Whether each day of the time zone, for some decades, begins once and on an hour of UTC: then
    it is made of hours. Where clocks change at midnight, a day can begin twice, or not at all."""
    zone, first = ZoneInfo(name), date(_FROM, 1, 1)
    days = (first + number * DAY for number in range((date(_UNTIL, 1, 1) - first).days))
    midnights = (datetime.combine(day, time(), zone) for day in days)
    return not any(
        each.utcoffset() != each.replace(fold=1).utcoffset() or each.astimezone(UTC).minute
        for each in midnights
    )


def buckets_in(hours: Iterable[datetime]) -> list[datetime]:
    return [hour + number * BUCKET for hour in sorted(hours) for number in range(HOUR // BUCKET)]


def local_midnights(start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """When, in UTC, the local days of [start, end] begin; the first perhaps before `start`."""
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [datetime.combine(day, time(), zone).astimezone(UTC) for day in days]
