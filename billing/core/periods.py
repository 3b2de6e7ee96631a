"""Periods of time, and which of them a customer is billed by.

A period is half-open, [start, end), in UTC. A billing cycle cuts time at local clock times, so
a period is longer or shorter by what the clocks change in it, but from the cycle's start on
every instant lies in exactly one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, Literal
from zoneinfo import ZoneInfo

from hostmeter_agent.wire import BUCKET_SECONDS

Anchoring = Literal["calendar", "anniversary"]

# Far enough from datetime's own limits that a zone's offset or one more month never crosses them.
YEAR_MIN: Final = 1970
YEAR_MAX: Final = 9900

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BUCKET: Final = timedelta(seconds=BUCKET_SECONDS)


class NaiveInstant(ValueError):
    """A datetime without an offset names no instant."""


class InstantOutOfRange(ValueError):
    """The instant lies outside the years that periods are made for."""


class PeriodEmpty(ValueError):
    """A period ends at or before its start."""


class UnknownTimeZone(ValueError):
    """No IANA time zone has this name."""


class BeforeBilling(ValueError):
    """The instant lies before the billing cycle's start."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The instants from `start` up to, but not including, `end`; both are kept in UTC.

    Raises NaiveInstant, InstantOutOfRange and PeriodEmpty.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc_instant(self.start))
        object.__setattr__(self, "end", utc_instant(self.end))
        if self.end <= self.start:
            raise PeriodEmpty(f"from {self.start} to {self.end}")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    @property
    def duration(self) -> timedelta:
        """The exact elapsed time."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class BillingCycle:
    """Monthly billing of one customer from `start` on, in their IANA time zone.

    "calendar" periods end at the local midnight that begins a month; "anniversary" ones on the
    start's own day of the month at its local time, or on the month's last day where it has no
    such day. Raises NaiveInstant, InstantOutOfRange and UnknownTimeZone.
    """

    start: datetime
    time_zone: str
    anchoring: Anchoring = "calendar"

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc_instant(self.start))
        zone_named(self.time_zone)

    def anchor(self) -> datetime:
        """The local clock time, without an offset, that every boundary is counted from."""
        local = self.start.astimezone(zone_named(self.time_zone)).replace(tzinfo=None, fold=0)
        if self.anchoring == "anniversary":
            return local
        return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    def boundary(self, months: int) -> datetime:
        """The anchor plus `months`, in UTC.

        The day is clamped from the anchor's own day, so 31 January is followed by 28 February
        and then 31 March. Where the clock time occurs twice it is the first; where it does not
        occur, it is read with the offset before the gap.
        """
        anchor = self.anchor()
        year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
        day = min(anchor.day, _days_in_month(year, month + 1))
        local = anchor.replace(year=year, month=month + 1, day=day)
        # fold=0 is both: the first of two, and the offset before a gap.
        return local.replace(tzinfo=zone_named(self.time_zone), fold=0).astimezone(UTC)


def boundaries(cycle: BillingCycle, *, months: int = 0) -> Iterator[datetime]:
    """The instants at which the cycle's periods begin, in order.

    The first is the cycle's start; `months` skips those before the anchor plus so many months.
    Boundaries that coincide are given once, so no period is empty.
    """
    previous = max(cycle.start, cycle.boundary(months)) if months > 0 else cycle.start
    yield previous
    while True:
        months += 1
        instant = cycle.boundary(months)
        if instant.year > YEAR_MAX:
            return
        if instant > previous:
            yield instant
            previous = instant


def billing_periods(cycle: BillingCycle, *, months: int = 0) -> Iterator[Period]:
    """The cycle's periods in order, each beginning where the one before ends."""
    starts = boundaries(cycle, months=months)
    start = next(starts)
    for end in starts:
        yield Period(start, end)
        start = end


def billing_period_containing(instant: datetime, cycle: BillingCycle) -> Period:
    """The one period of the cycle that `instant` lies in.

    Raises NaiveInstant, InstantOutOfRange, and BeforeBilling for what lies before the start.
    """
    instant = utc_instant(instant)
    if instant < cycle.start:
        raise BeforeBilling(f"{instant} lies before the start, {cycle.start}")
    # Two months early: the month in UTC and the local one differ by one at most, and the
    # boundary within a month may still lie ahead.
    anchor = cycle.anchor()
    months = (instant.year - anchor.year) * 12 + instant.month - anchor.month - 2
    for period in islice(billing_periods(cycle, months=max(months, 0)), 5):
        if instant in period:
            return period
    raise InstantOutOfRange(f"no period ends after {instant}")


def bucket_start(instant: datetime) -> datetime:
    """The start of the 5-minute bucket that `instant` lies in, aligned to the hour in UTC.

    Usage is rolled up in buckets, so a subscription begins on one: then each bucket lies in one
    billing period as a whole. Calendar boundaries always do, since zones are offset by
    multiples of 15 minutes.
    """
    instant = utc_instant(instant)
    return instant - (instant - _EPOCH) % _BUCKET


def utc_instant(instant: datetime) -> datetime:
    """`instant` in UTC. Raises NaiveInstant and InstantOutOfRange."""
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise NaiveInstant(f"{instant} has no offset")
    if not YEAR_MIN <= instant.year <= YEAR_MAX:
        raise InstantOutOfRange(f"{instant} is not within {YEAR_MIN} to {YEAR_MAX}")
    return instant.astimezone(UTC)


def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone. Raises UnknownTimeZone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        # KeyError: no such zone; ValueError: not a relative path; OSError: a folder of zones.
        raise UnknownTimeZone(f"no time zone is called {name[:60]!r}") from error


def _days_in_month(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return (following - timedelta(days=1)).day
