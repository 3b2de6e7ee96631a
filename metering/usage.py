"""What was used in all, as billing and the portal ask for it. Every query runs inside a tenant's
scope.

Quantities are exact Python integers in the meter's wire unit (see hostmeter_agent.wire). Figures
come from rollups: a period holds the buckets that start in [start, end). A meter that was not
measured at all in a period is left out of the answer; it is not 0.

Some usage may be left out by how it was measured: rollups (one instance's 5 minutes) that have one
of the profiles `without`. Days and hours that have none are still taken whole, and those that have
no others are passed over whole: rollups are read for hours alone in which some are left out and
some not.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import (
    Aggregate,
    DateTimeField,
    DecimalField,
    Expression,
    F,
    Func,
    Max,
    Sum,
    Value,
)
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, TruncDate
from hostmeter_agent.wire import METERS_BY_NAME, kind_of

from metering.core.aggregation import combined_quantities
from metering.one_of import OneOf
from metering.rollup_models import Rollup
from metering.usage_rows import UsagePeriod, rows_of, rows_partly_with

# An application's id and the role of some of its instances.
RoleKey = tuple[UUID, str]
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class MeasuredUsage:
    """What an application's instances in one role used in its period, as far as it was measured in
    one way: by profiles, of which None stands for usage without one. Of `window_us` µs of windows
    `covered_us` were measured."""

    application_id: UUID
    role: str
    profiles: frozenset[UUID | None]
    window_us: int
    covered_us: int
    usage: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """One application's quantity in the hour or local day that starts at `start` (UTC)."""

    start: datetime
    application_id: UUID
    quantity: int


class LocalTrunc(Func):
    """date_trunc over local time: hours that a clock change repeats stay apart."""

    function = "date_trunc"
    output_field = DateTimeField()


def quantity_of(meter: str) -> Expression | F:
    known = METERS_BY_NAME.get(meter)
    if known is not None:
        return F(known.column)
    return Cast(KeyTextTransform(meter, "more"), DecimalField(max_digits=40, decimal_places=0))


def combined(meter: str) -> Aggregate:
    """The meter over many rollups: their sum, or the maximum of a `.max` meter."""
    quantity = quantity_of(meter)
    return Max(quantity) if kind_of(meter) == "maximum" else Sum(quantity)


def _grouped(
    periods: Sequence[UsagePeriod],
    meters: Sequence[str],
    *keys: str,
    days_of: ZoneInfo | None = None,
    without: Collection[UUID] = (),
) -> Iterator[dict[str, Any]]:
    """Quantities as meter_0, meter_1, ... by the keys, among them `local_day` if `days_of` is
    given. A combination of keys can come more than once."""
    aggregates = {f"meter_{index}": combined(meter) for index, meter in enumerate(meters)}
    expressions = (
        {} if days_of is None else {"local_day": TruncDate("bucket_start", tzinfo=days_of)}
    )
    for rows in rows_of(periods, days_of, without):
        grouped = rows.order_by().annotate(**expressions).values(*keys)
        yield from grouped.annotate(**aggregates)


def add_quantity(totals: dict[_Key, int], key: _Key, meter: str, quantity: int) -> None:
    """Combine a quantity of the meter with what the totals have at the key, if anything."""
    before = [totals[key]] if key in totals else []
    totals[key] = combined_quantities(meter, [*before, quantity])


def _add_to(totals: dict[str, int], row: Mapping[str, Any], meters: Sequence[str]) -> None:
    for index, meter in enumerate(meters):
        quantity: Decimal | None = row[f"meter_{index}"]
        if quantity is not None:
            add_quantity(totals, meter, meter, int(quantity))


def usage_by_application(
    periods: Sequence[UsagePeriod], meters: Sequence[str], *, without: Collection[UUID] = ()
) -> dict[UUID, dict[str, int]]:
    """Each application's total over its periods, by meter: the sum, or the maximum of `.max`
    meters, over all instances and roles. Periods of one application must not overlap."""
    totals: dict[UUID, dict[str, int]] = {}
    for row in _grouped(periods, meters, "application_id", without=without):
        _add_to(totals.setdefault(row["application_id"], {}), row, meters)
    return totals


def measured_usage(periods: Sequence[UsagePeriod], meters: Sequence[str]) -> list[MeasuredUsage]:
    """What each application used in its periods and how that was measured, in one pass. An
    application and role can have several of the same profiles. Periods of one application must not
    overlap."""
    aggregates = {f"meter_{index}": combined(meter) for index, meter in enumerate(meters)}
    times = {"window": Sum("window_us"), "covered": Sum("covered_us")}
    found = []
    for rows in rows_of(periods, None, ()):
        grouped = rows.order_by().values_list("application_id", "role", "measurements")
        for application_id, role, profiles, window, covered, *quantities in grouped.annotate(
            **times, **aggregates
        ):
            usage = {
                meter: int(quantity)
                for meter, quantity in zip(meters, quantities, strict=True)
                if quantity is not None
            }
            found.append(
                MeasuredUsage(
                    application_id, role, frozenset(profiles), int(window), int(covered), usage
                )
            )
    return found


def role_totals(
    measured: Iterable[MeasuredUsage],
) -> dict[RoleKey, dict[str, int]]:
    """As usage_by_role, however it was measured."""
    totals: dict[RoleKey, dict[str, int]] = {}
    for each in measured:
        own = totals.setdefault((each.application_id, each.role), {})
        for meter, quantity in each.usage.items():
            add_quantity(own, meter, meter, quantity)
    return totals


def usage_by_role(
    periods: Sequence[UsagePeriod], meters: Sequence[str], *, without: Collection[UUID] = ()
) -> dict[RoleKey, dict[str, int]]:
    """As usage_by_application, apart for each role."""
    totals: dict[RoleKey, dict[str, int]] = {}
    for row in _grouped(periods, meters, "application_id", "role", without=without):
        key = row["application_id"], row["role"]
        _add_to(totals.setdefault(key, {}), row, meters)
    return totals


def usage_by_role_and_day(
    periods: Sequence[UsagePeriod],
    meters: Sequence[str],
    time_zone: str,
    *,
    without: Collection[UUID] = (),
) -> dict[date, dict[RoleKey, dict[str, int]]]:
    """As usage_by_role, apart for each day of `time_zone` in which a bucket starts."""
    days: dict[date, dict[RoleKey, dict[str, int]]] = {}
    keys = ("application_id", "role", "local_day")
    for row in _grouped(periods, meters, *keys, days_of=ZoneInfo(time_zone), without=without):
        totals = days.setdefault(row["local_day"], {})
        _add_to(totals.setdefault((row["application_id"], row["role"]), {}), row, meters)
    return days


def usage_with_by_role(
    periods: Sequence[UsagePeriod], meters: Sequence[str], profiles: Collection[UUID]
) -> dict[RoleKey, dict[str, int]]:
    """As usage_by_role, of nothing but the rollups that have one of the profiles."""
    if not periods or not profiles:
        return {}
    totals: dict[RoleKey, dict[str, int]] = {}
    aggregates = {f"meter_{index}": combined(meter) for index, meter in enumerate(meters)}
    for rows in rows_partly_with(periods, None, profiles):
        for row in rows.order_by().values("application_id", "role").annotate(**aggregates):
            _add_to(totals.setdefault((row["application_id"], row["role"]), {}), row, meters)
    return totals


def usage_with(
    periods: Sequence[UsagePeriod], meters: Sequence[str], profiles: Collection[UUID]
) -> dict[UUID, dict[str, int]]:
    """As usage_by_application, of nothing but the rollups that have one of the profiles."""
    totals: dict[UUID, dict[str, int]] = {}
    for (application_id, _), used in usage_with_by_role(periods, meters, profiles).items():
        own = totals.setdefault(application_id, {})
        for meter, quantity in used.items():
            add_quantity(own, meter, meter, quantity)
    return totals


def quantity_with_by_day(
    periods: Sequence[UsagePeriod], meter: str, profiles: Collection[UUID], time_zone: str
) -> dict[date, int]:
    """As usage_with, of one meter of all applications, by the days of `time_zone`."""
    if not periods or not profiles:
        return {}
    zone, days = ZoneInfo(time_zone), dict[date, int]()
    for rows in rows_partly_with(periods, zone, profiles):
        by_day = rows.order_by().annotate(local_day=TruncDate("bucket_start", tzinfo=zone))
        for day, quantity in by_day.values_list("local_day").annotate(quantity=combined(meter)):
            if quantity is not None:
                add_quantity(days, day, meter, int(quantity))
    return days


def usage_by_day(
    periods: Sequence[UsagePeriod],
    meters: Sequence[str],
    time_zone: str,
    *,
    without: Collection[UUID] = (),
) -> dict[date, dict[UUID, dict[str, int]]]:
    """As usage_by_application, apart for each day of `time_zone` in which a bucket starts."""
    zone = ZoneInfo(time_zone)
    days: dict[date, dict[UUID, dict[str, int]]] = {}
    keys = ("application_id", "local_day")
    for row in _grouped(periods, meters, *keys, days_of=zone, without=without):
        totals = days.setdefault(row["local_day"], {})
        _add_to(totals.setdefault(row["application_id"], {}), row, meters)
    return days


def usage_series(
    application_ids: Sequence[UUID],
    meter: str,
    start: datetime,
    end: datetime,
    step: Literal["hour", "day"],
    time_zone: str,
    *,
    without: Collection[UUID] = (),
) -> list[UsagePoint]:
    """One meter over [start, end) in hours, or in days of `time_zone`, in order of time. Steps in
    which nothing was measured are left out."""
    chosen = Rollup.objects.filter(
        OneOf("application_id", application_ids), bucket_start__gte=start, bucket_start__lt=end
    )
    if without:
        chosen = chosen.exclude(measurements__overlap=list(without))
    rows = (
        chosen.order_by()
        .annotate(step=LocalTrunc(Value(step), F("bucket_start"), Value(time_zone)))
        .values("step", "application_id")
        .annotate(quantity=combined(meter))
        .order_by("step", "application_id")
    )
    return [
        UsagePoint(row["step"], row["application_id"], int(row["quantity"]))
        for row in rows
        if row["quantity"] is not None
    ]
