"""Which rollups hold the usage of some periods: days and hours where they are whole, buckets
elsewhere. Every query runs inside a tenant's scope."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from metering.core.hours import (
    buckets_in,
    days_cut,
    has_whole_day,
    hours_in,
    local_midnights,
    split_hours,
)
from metering.one_of import OneOf
from metering.rollup_models import DayRollup, DayZone, HourRollup, LocalDay, Rollup
from metering.sql import statement

_Rows = TypeVar("_Rows", DayRollup, LocalDay, HourRollup, Rollup)
# Of usage: each tells the same, of stretches of time of its own.
Days: TypeAlias = "QuerySet[DayRollup] | QuerySet[LocalDay]"
AnyRows: TypeAlias = (
    "QuerySet[DayRollup] | QuerySet[LocalDay] | QuerySet[HourRollup] | QuerySet[Rollup]"
)
DAYS_OF_UTC: Final = ZoneInfo("UTC")
_SHORTEST_DAY: Final = timedelta(hours=23)


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """One application's usage over [start, end)."""

    application_id: UUID
    start: datetime
    end: datetime


def _in_any_period(table: str, periods: Sequence[UsagePeriod]) -> RawSQL:
    applications = [period.application_id for period in periods]
    starts, ends = [period.start for period in periods], [period.end for period in periods]
    # By its table: grouped by host, a row is read with its instance, which has an application too.
    condition = statement("in_any_period").format(table=table)
    return RawSQL(condition, [applications, starts, ends], BooleanField())  # noqa: S611  bound


def within(rows: "QuerySet[_Rows]", periods: Sequence[UsagePeriod]) -> "QuerySet[_Rows]":
    """Those whose buckets, or hours, start in one of their application's periods."""
    start = min(period.start for period in periods)
    end = max(period.end for period in periods)
    chosen = rows.filter(
        OneOf("application_id", {period.application_id for period in periods}),
        bucket_start__gte=start,
        bucket_start__lt=end,
    )
    if all((period.start, period.end) == (start, end) for period in periods):
        return chosen
    return chosen.filter(_in_any_period(rows.model._meta.db_table, periods))


def _in_hours_with(profiles: Collection[UUID]) -> RawSQL:
    """A condition on rollups: that their hour has one of the profiles."""
    return RawSQL(statement("in_hour_with"), [list(profiles)], BooleanField())  # noqa: S611  bound


def rows_with(periods: Sequence[UsagePeriod], profiles: Collection[UUID]) -> "QuerySet[Rollup]":
    """The rollups, in no order, that have one of the profiles; hours that have none are passed
    over. Neither may be empty."""
    rows = Rollup.objects.order_by().filter(
        Q(_in_hours_with(profiles)), measurements__overlap=list(profiles)
    )
    return within(rows, periods)


def _in_part(
    periods: Sequence[UsagePeriod], split: Collection[datetime], profiles: Collection[UUID]
) -> "QuerySet[Rollup]":
    """The rollups of hours that are cut, or that have one of the profiles and others as well."""
    chosen, ids = within(HourRollup.objects.order_by(), periods), list(profiles)
    mixed = chosen.filter(measurements__overlap=ids).exclude(measurements__contained_by=ids)
    # Read first: few hours found by their time spare the database every rollup of the period.
    hours = sorted(set(mixed.values_list("bucket_start", flat=True).distinct()))
    condition = statement("in_hour_partly_with")
    in_mixed = RawSQL(condition, [hours, ids, ids], BooleanField())  # noqa: S611  bound
    return within(
        Rollup.objects.filter(
            Q(bucket_start__in=buckets_in(split)) | Q(in_mixed),
            bucket_start__in=buckets_in(sorted({*split, *hours})),
        ),
        periods,
    )


def _hours_cut(periods: Sequence[UsagePeriod], days_of: ZoneInfo | None) -> set[datetime]:
    """The hours in which a period, or a day of `days_of`, begins or ends."""
    bounds = {bound for period in periods for bound in (period.start, period.end)}
    if days_of is not None:
        bounds |= set(local_midnights(min(bounds), max(bounds), days_of))
    return split_hours(bounds)


def rows_partly_with(
    periods: Sequence[UsagePeriod], days_of: ZoneInfo | None, profiles: Collection[UUID]
) -> "Iterator[QuerySet[HourRollup] | QuerySet[Rollup]]":
    """Of the rollups that have one of the profiles: whole hours where all have, 5-minute buckets
    elsewhere. Neither argument may be empty."""
    split, ids = _hours_cut(periods, days_of), list(profiles)
    hours = HourRollup.objects.exclude(bucket_start__in=split)
    yield within(hours.filter(measurements__contained_by=ids), periods)
    yield _in_part(periods, split, profiles).filter(measurements__overlap=ids)


def rows_of(
    periods: Sequence[UsagePeriod], days_of: ZoneInfo | None, without: Collection[UUID]
) -> Iterator[AnyRows]:
    """Whole days and hours, and 5-minute buckets where a period or a day of `days_of` cuts an hour,
    or where an hour has one of the profiles `without` and others. Days are those of `days_of`, of
    whatever zone fits the periods best where that is None, and none where the tenant does not keep
    that zone's."""
    if not periods:
        return
    split, refused = _hours_cut(periods, days_of), list(without)
    for rows in _days_and_hours(periods, days_of, split):
        # A day's hours all have its profiles, so what is passed over of hours is of days as well.
        yield rows.exclude(measurements__overlap=refused) if refused else rows
    if refused:
        yield _in_part(periods, split, without).exclude(measurements__overlap=refused)
    elif split:
        yield _in_buckets(periods, split)


def hours_of(
    periods: Sequence[UsagePeriod],
) -> "Iterator[QuerySet[HourRollup] | QuerySet[Rollup]]":
    """Whole hours, and 5-minute buckets where a period cuts one."""
    if not periods:
        return
    split = _hours_cut(periods, None)
    yield within(HourRollup.objects.exclude(bucket_start__in=split), periods)
    if split:
        yield _in_buckets(periods, split)


def _in_buckets(periods: Sequence[UsagePeriod], hours: Collection[datetime]) -> "QuerySet[Rollup]":
    return within(Rollup.objects.filter(bucket_start__in=buckets_in(hours)), periods)


def _days_and_hours(
    periods: Sequence[UsagePeriod], days_of: ZoneInfo | None, split: Collection[datetime]
) -> "Iterator[QuerySet[DayRollup] | QuerySet[LocalDay] | QuerySet[HourRollup]]":
    """All but the hours `split`: in days, as far as no bound lies inside them."""
    hours = HourRollup.objects.exclude(bucket_start__in=split)
    days = _days_for(periods, days_of)
    if days is not None:
        yield days.whole_in(periods)
        if not days.cut:
            return
        hours = hours.filter(bucket_start__in=hours_in(days.cut, days.zone))
    yield within(hours, periods)


@dataclass(frozen=True, slots=True)
class _Days:
    """A zone's days, of which some are cut by a period's bound."""

    zone: ZoneInfo
    cut: Collection[datetime]

    def whole_in(self, periods: Sequence[UsagePeriod]) -> Days:
        """Those that are not cut."""
        if self.zone == DAYS_OF_UTC:
            return within(DayRollup.objects.exclude(bucket_start__in=self.cut), periods)
        days = LocalDay.objects.filter(time_zone=self.zone.key)
        return within(days.exclude(bucket_start__in=self.cut), periods)


def _days_for(periods: Sequence[UsagePeriod], days_of: ZoneInfo | None) -> _Days | None:
    """Those of the zone whose days are least cut, if a period holds a whole one at all."""
    if all(period.end - period.start < _SHORTEST_DAY for period in periods):
        return None
    bounds = {bound for period in periods for bound in (period.start, period.end)}
    found = []
    for zone in _zones_for(days_of):
        if any(has_whole_day(period.start, period.end, zone) for period in periods):
            found.append(_Days(zone, days_cut(bounds, zone)))
            if not found[-1].cut:
                break
    return min(found, key=lambda days: len(days.cut), default=None)


def _zones_for(days_of: ZoneInfo | None) -> Iterator[ZoneInfo]:
    """Whose days the tenant has, of these: UTC's always, and those that are kept beside."""
    if days_of in (None, DAYS_OF_UTC):
        yield DAYS_OF_UTC
    if days_of != DAYS_OF_UTC:
        # Asked each time: days of a zone that is left go some minutes later.
        kept = DayZone.objects.filter(ready=True, left_at=None).order_by("time_zone")
        if days_of is not None:
            kept = kept.filter(time_zone=days_of.key)
        yield from map(ZoneInfo, kept.values_list("time_zone", flat=True))
