"""Which hours and days (UTC) can be taken whole: those that no period and no local day begins or
ends inside."""

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from metering.core.buckets import BUCKET

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hour_of(instant: datetime) -> datetime:
    """The start, in UTC, of the hour that `instant` lies in."""
    return instant.astimezone(UTC) - (instant - _EPOCH) % HOUR


def split_hours(bounds: Iterable[datetime]) -> set[datetime]:
    """The hours (UTC) with one of `bounds` inside, not at their start."""
    return {hour_of(bound) for bound in bounds if bound != hour_of(bound)}


def split_days(bounds: Iterable[datetime]) -> set[datetime]:
    """The days (UTC) with one of `bounds` inside, not at their start."""
    return {day_of(bound) for bound in bounds if bound != day_of(bound)}


def has_whole_day(start: datetime, end: datetime) -> bool:
    """Whether a day (UTC) lies in [start, end)."""
    return -(-(start - _EPOCH) // DAY) < (end - _EPOCH) // DAY


def day_of(instant: datetime) -> datetime:
    """The start of the day (UTC) that `instant` lies in."""
    return instant.astimezone(UTC) - (instant - _EPOCH) % DAY


def hours_in(days: Iterable[datetime]) -> list[datetime]:
    return [day + number * HOUR for day in sorted(days) for number in range(DAY // HOUR)]


def buckets_in(hours: Iterable[datetime]) -> list[datetime]:
    return [hour + number * BUCKET for hour in sorted(hours) for number in range(HOUR // BUCKET)]


def local_midnights(start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """When, in UTC, the local days of [start, end] begin; the first perhaps before `start`."""
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [datetime.combine(day, time(), zone).astimezone(UTC) for day in days]


def hours_beyond(midnights: Iterable[datetime]) -> list[datetime]:
    """Local days begin at `midnights`, each on an hour of UTC; a day of UTC counts to the local day
    that its noon lies in. The hours that this is wrong for, those across the midnight."""
    hours: list[datetime] = []
    for midnight in midnights:
        day = day_of(midnight)
        before = midnight <= day + DAY / 2
        first, end = (day, midnight) if before else (midnight, day + DAY)
        hours += (first + number * HOUR for number in range((end - first) // HOUR))
    return hours
