"""Which rollups hold the usage of some periods: days and hours where they are whole, buckets
elsewhere. Every query runs inside a tenant's scope."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from metering.core.hours import (
    buckets_in,
    has_whole_day,
    hours_in,
    local_midnights,
    split_days,
    split_hours,
)
from metering.one_of import OneOf
from metering.rollup_models import DayRollup, HourRollup, Rollup
from metering.sql import statement

_Rows = TypeVar("_Rows", DayRollup, HourRollup, Rollup)


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """One application's usage over [start, end)."""

    application_id: UUID
    start: datetime
    end: datetime


def _in_any_period(periods: Sequence[UsagePeriod]) -> RawSQL:
    applications = [period.application_id for period in periods]
    starts, ends = [period.start for period in periods], [period.end for period in periods]
    condition = statement("in_any_period")
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
    return chosen.filter(_in_any_period(periods))


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
) -> "Iterator[QuerySet[DayRollup] | QuerySet[HourRollup] | QuerySet[Rollup]]":
    """Whole days and hours (UTC), and 5-minute buckets where a period or a day of `days_of` cuts an
    hour, or where an hour has one of the profiles `without` and others."""
    if not periods:
        return
    split, refused = _hours_cut(periods, days_of), list(without)
    for rows in _days_and_hours(periods, days_of, split):
        # A day's hours all have its profiles, so what is passed over of hours is of days as well.
        yield rows.exclude(measurements__overlap=refused) if refused else rows
    if refused:
        yield _in_part(periods, split, without).exclude(measurements__overlap=refused)
    elif split:
        yield within(Rollup.objects.filter(bucket_start__in=buckets_in(split)), periods)


def _days_and_hours(
    periods: Sequence[UsagePeriod], days_of: ZoneInfo | None, split: Collection[datetime]
) -> "Iterator[QuerySet[DayRollup] | QuerySet[HourRollup]]":
    """All but the hours `split`: in days, as far as no bound lies inside them, unless they are to
    be told apart by a zone's days."""
    hours = HourRollup.objects.exclude(bucket_start__in=split)
    if days_of is None and any(has_whole_day(period.start, period.end) for period in periods):
        cut = split_days(bound for period in periods for bound in (period.start, period.end))
        yield within(DayRollup.objects.exclude(bucket_start__in=cut), periods)
        if not cut:
            return
        hours = hours.filter(bucket_start__in=hours_in(cut))
    yield within(hours, periods)
