"""Periods of time, and which of them a customer is billed by.

A period is half-open, [start, end), in UTC. A billing cycle cuts time at local clock times, so
a period is longer or shorter by what the clocks change in it, but from the cycle's start on
every instant lies in exactly one.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import Final, Literal
from zoneinfo import ZoneInfo

from hostmeter_agent.wire import BUCKET_SECONDS

Anchoring = Literal["calendar", "anniversary"]
Interval = Literal["weekly", "monthly", "quarterly", "half_yearly", "yearly"]

# How many months an interval has; a week is no number of months.
_MONTHS: Final[dict[Interval, int]] = {
    "weekly": 0,
    "monthly": 1,
    "quarterly": 3,
    "half_yearly": 6,
    "yearly": 12,
}
_WEEK: Final = timedelta(days=7)

# What one interval is called.
NOUNS: Final[dict[Interval, str]] = {
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "half_yearly": "half-year",
    "yearly": "year",
}

# Far enough from datetime's own limits that a zone's offset or one more month never crosses them.
YEAR_MIN: Final = 1970
YEAR_MAX: Final = 9900

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BUCKET: Final = timedelta(seconds=BUCKET_SECONDS)


def is_longer(interval: Interval, other: Interval) -> bool:
    """Whether one interval lasts longer than another; a week is the shortest."""
    return _MONTHS[interval] > _MONTHS[other]


class NaiveInstant(ValueError):
    """A datetime without an offset names no instant."""


class InstantOutOfRange(ValueError):
    """The instant lies outside the years that periods are made for."""


class PeriodEmpty(ValueError):
    """A period ends at or before its start."""


class UnknownTimeZone(ValueError):
    """No IANA time zone has this name."""


class UnknownInterval(ValueError):
    """Nothing is billed in an interval of this name."""


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
    """Billing of one customer from `start` on, every `interval`, in their IANA time zone.

    "calendar" periods end at the local midnight that begins a week (a Monday), month, quarter,
    half-year or year; "anniversary" ones at the start's local time and on its weekday or day of
    the month, or on the month's last day where it has no such day. Raises NaiveInstant,
    InstantOutOfRange, UnknownTimeZone and UnknownInterval.
    """

    start: datetime
    time_zone: str
    anchoring: Anchoring = "calendar"
    interval: Interval = "monthly"
    # The local clock time, without an offset, that every boundary is counted from.
    anchor: datetime = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc_instant(self.start))
        zone_named(self.time_zone)
        require_interval(self.interval)
        object.__setattr__(self, "anchor", self._anchor())

    def _anchor(self) -> datetime:
        local = self.start.astimezone(zone_named(self.time_zone)).replace(tzinfo=None, fold=0)
        if self.anchoring == "anniversary":
            return local
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        months = _MONTHS[self.interval]
        if not months:
            return midnight - timedelta(days=midnight.weekday())
        return midnight.replace(month=(midnight.month - 1) // months * months + 1, day=1)

    def boundary(self, k: int) -> datetime:
        """The anchor plus `k` intervals, in UTC.

        The day is clamped from the anchor's own day, so 31 January is followed by 28 February
        and then 31 March. Where the clock time occurs twice it is the first; where it does not
        occur, it is read with the offset before the gap.
        """
        return _boundary(self.anchor, self.interval, self.time_zone, k)

    def intervals_before(self, instant: datetime) -> int:
        """A `k` whose boundary is not after `instant`, and less than four intervals before it."""
        # Two early: the local month may be the one after UTC's, and the boundary within a month
        # may still lie ahead.
        anchor = self.anchor
        months = _MONTHS[self.interval]
        if not months:
            return (instant.replace(tzinfo=None) - anchor) // _WEEK - 1
        passed = (instant.year - anchor.year) * 12 + instant.month - anchor.month
        return (passed - 1) // months - 1


def boundaries(cycle: BillingCycle, *, skip: int = 0) -> Iterator[datetime]:
    """The instants at which the cycle's periods begin, in order.

    The first is the cycle's start; `skip` leaves out those before the anchor plus so many
    intervals. Boundaries that coincide are given once, so no period is empty.
    """
    k = skip
    previous = max(cycle.start, cycle.boundary(k)) if k > 0 else cycle.start
    yield previous
    while True:
        k += 1
        instant = cycle.boundary(k)
        if instant.year > YEAR_MAX:
            return
        if instant > previous:
            yield instant
            previous = instant


def billing_periods(cycle: BillingCycle, *, skip: int = 0) -> Iterator[Period]:
    """The cycle's periods in order, each beginning where the one before ends."""
    starts = boundaries(cycle, skip=skip)
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
    skip = max(cycle.intervals_before(instant), 0)
    for period in islice(billing_periods(cycle, skip=skip), 5):
        if instant in period:
            return period
    raise InstantOutOfRange(f"no period ends after {instant}")


def whole_period_containing(instant: datetime, cycle: BillingCycle) -> Period:
    """The period between two boundaries that `instant` lies in, as if the cycle had always run.

    It is what a first period is a part of. Raises NaiveInstant and InstantOutOfRange.
    """
    instant = utc_instant(instant)
    k = cycle.intervals_before(instant)
    for start, end in pairwise(cycle.boundary(k + more) for more in range(6)):
        if start <= instant < end:
            return Period(start, end)
    raise InstantOutOfRange(f"no period holds {instant}")


def bucket_start(instant: datetime) -> datetime:
    """The start of the 5-minute bucket that `instant` lies in, aligned to the hour in UTC.

    Usage is rolled up in buckets, so a subscription begins on one: then each bucket lies in one
    billing period as a whole. Calendar boundaries always do, since zones are offset by
    multiples of 15 minutes.
    """
    instant = utc_instant(instant)
    return instant - (instant - _EPOCH) % _BUCKET


def span_in_words(span: Period, time_zone: str) -> str:
    """Both ends as the zone's clocks show them; midnights as days alone."""
    zone = zone_named(time_zone)
    ends = [instant.astimezone(zone) for instant in (span.start, span.end)]
    form = "%Y-%m-%d" if all(end.time() == time.min for end in ends) else "%Y-%m-%d %H:%M"
    return " to ".join(end.strftime(form) for end in ends)


def utc_instant(instant: datetime) -> datetime:
    """`instant` in UTC. Raises NaiveInstant and InstantOutOfRange."""
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise NaiveInstant(f"{instant} has no offset")
    if not YEAR_MIN <= instant.year <= YEAR_MAX:
        raise InstantOutOfRange(f"{instant} is not within {YEAR_MIN} to {YEAR_MAX}")
    return instant.astimezone(UTC)


def require_interval(interval: str) -> None:
    """Raises UnknownInterval."""
    if interval not in _MONTHS:
        raise UnknownInterval(f"nothing is billed {str(interval)[:40]!r}")


def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone. Raises UnknownTimeZone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        # KeyError: no such zone; ValueError: not a relative path; OSError: a folder of zones.
        raise UnknownTimeZone(f"no time zone is called {name[:60]!r}") from error


# Most customers of a time zone have the same ones, and each invoice asks for a few several times.
@lru_cache(maxsize=1_024)
def _boundary(anchor: datetime, interval: Interval, time_zone: str, k: int) -> datetime:
    months = _MONTHS[interval]
    local = _plus_months(anchor, months * k) if months else anchor + k * _WEEK
    # fold=0 is both: the first of two, and the offset before a gap.
    return local.replace(tzinfo=zone_named(time_zone), fold=0).astimezone(UTC)


def _plus_months(local: datetime, months: int) -> datetime:
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day)
