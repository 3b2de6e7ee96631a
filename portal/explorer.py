"""The usage explorer's answer: how much, when, of what, how it was measured, and what is missing.
Every query runs inside a tenant's scope, and counts the time alone in which an application was
assigned to the customer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from heapq import nlargest
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.translation import gettext
from hostmeter_agent.wire import kind_of

from billing.billable import assigned_periods
from metering.core.aggregation import combined_quantities
from metering.core.quality import Measured
from metering.models import Application
from metering.usage_coverage import (
    Asked,
    Covered,
    Used,
    meter_totals,
    quantity_by_group,
    used,
)
from metering.usage_points import Key
from metering.usage_rows import UsagePeriod
from portal.chart import SERIES_MAX, Axis, Chart, Earlier, Series, Slot, bar_chart
from portal.formatting import (
    day_of_month,
    day_of_year,
    month_name,
    quantity,
    unit_name,
    usage,
    usage_unit,
)
from portal.usage_names import names_of
from portal.usage_question import Question
from tenants.models import Customer

ROWS_MAX: Final = 50
_FIVE_MINUTES: Final = timedelta(minutes=5)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Place:
    """A bar's time [start, end)."""

    start: datetime
    end: datetime
    quantity: int | None
    earlier: int | None
    earlier_start: datetime | None
    covered: Covered | None
    is_open: bool
    is_gap: bool


@dataclass(frozen=True, slots=True)
class Row:
    """What one environment, application, instance, host or meter used."""

    id: UUID | None
    name: str
    meter: str
    quantity: int
    earlier: int | None
    measured: tuple[Measured, ...]
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Explored:
    """`rows` are the largest, `more` the others together, `more_count` how many these are."""

    question: Question
    places: tuple[Place, ...]
    rows: tuple[Row, ...]
    more: int
    more_count: int
    total: int | None
    earlier_total: int | None
    chart: Chart
    periods: Sequence[UsagePeriod]

    @property
    def adds_up(self) -> bool:
        """Whether quantities of this meter make a sum; of maxima the largest counts."""
        return kind_of(self.question.meter) != "maximum"


def periods_of(customer: Customer, question: Question, zone: ZoneInfo) -> list[UsagePeriod]:
    """When what is asked of was the customer's."""
    own = assigned_periods(customer, question.period(zone))
    if question.application is not None:
        own = [each for each in own if each.application_id == question.application]
    if question.environment is not None:
        rows = Application.objects.filter(environment=question.environment)
        inside = set(rows.values_list("pk", flat=True))
        own = [each for each in own if each.application_id in inside]
    return own


def explored(
    customer: Customer,
    question: Question,
    meters: Sequence[str],
    *,
    known_to: datetime | None,
    as_of: datetime,
) -> Explored:
    """`meters` are those that rows of meters are of; all usage is known up to `known_to`. Raises
    metering.usage_points.TooManyPoints."""
    zone = ZoneInfo(customer.time_zone)
    now = _Time.of(customer, question, zone)
    before_question = question.earlier()
    before = None if before_question is None else _Time.of(customer, before_question, zone)
    rows = _meter_rows(now, before, meters) if question.key is None else _rows(now, before)
    places = _places(now, before, known_to, as_of)
    total = _combined(question.meter, [each.quantity for each in places])
    left = rows[ROWS_MAX:]
    return Explored(
        question,
        places,
        tuple(rows[:ROWS_MAX]),
        _combined(question.meter, [each.quantity for each in left]) or 0,
        len(left),
        total,
        None if before is None else before.total,
        _chart(now, places, rows, zone),
        now.asked.periods,
    )


@dataclass(frozen=True, slots=True)
class _Time:
    """A question's time, and what was used in it: by bar and, unless meters are asked for, by what
    the question groups by."""

    question: Question
    zone: ZoneInfo
    asked: Asked
    found: Used

    @classmethod
    def of(cls, customer: Customer, question: Question, zone: ZoneInfo) -> "_Time":
        periods = periods_of(customer, question, zone)
        asked = Asked(periods, question.meter, question.step, zone.key, question.part)
        return cls(question, zone, asked, used(asked, question.key))

    @property
    def total(self) -> int | None:
        quantities = [each.quantity for each in self.found.buckets.values()]
        return _combined(self.question.meter, quantities)

    def used(self, start: datetime) -> int | None:
        found = self.found.buckets.get(start)
        return None if found is None else found.quantity

    def covered(self, start: datetime) -> Covered | None:
        found = self.found.buckets.get(start)
        return None if found is None else found.covered


def _rows(now: _Time, before: _Time | None) -> list[Row]:
    """The largest first; what was there earlier alone stands last. Those beyond what is shown have
    no names."""
    key = now.question.key
    if key is None:
        return []
    found = now.found.shares
    earlier = {} if before is None else before.found.shares
    size = {
        each: tuple(shares[each].quantity if each in shares else 0 for shares in (found, earlier))
        for each in [*found, *earlier]
    }
    # Of as many as are shown, and of the last one's equals: these are told apart by their names.
    least = min(nlargest(ROWS_MAX, size.values()), default=None)
    names = names_of(key, [each for each in size if least is None or size[each] >= least])
    rows = [
        Row(
            each,
            names[each].name if each in names else "",
            now.question.meter,
            quantity,
            None if before is None else quantity_before,
            found[each].measured if each in found else (),
            each in names and names[each].generated,
        )
        for each, (quantity, quantity_before) in size.items()
    ]
    return sorted(rows, key=lambda row: (-row.quantity, -(row.earlier or 0), row.name))


def _meter_rows(now: _Time, before: _Time | None, meters: Sequence[str]) -> list[Row]:
    earlier = None if before is None else _totals(before.asked, meters)
    return [
        Row(None, each, each, quantity, None if earlier is None else earlier.get(each, 0), ())
        for each, quantity in _totals(now.asked, meters).items()
    ]


def _totals(asked: Asked, meters: Sequence[str]) -> dict[str, int]:
    found = meter_totals(asked.periods, meters, time_zone=asked.time_zone, part=asked.part)
    return {meter: found[meter] for meter in meters if meter in found}


def _places(
    now: _Time, before: _Time | None, known_to: datetime | None, as_of: datetime
) -> tuple[Place, ...]:
    question = now.question
    starts = list(_starts(question, now.zone))
    ends = [*starts[1:], question.period(now.zone).end]
    others = [] if before is None else list(_starts(before.question, before.zone))
    places = []
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        other = others[index] if index < len(others) else None
        quantity = now.used(start)
        places.append(
            Place(
                start,
                end,
                quantity,
                None if before is None or other is None else before.used(other),
                other,
                now.covered(start),
                is_open=start <= as_of < end,
                is_gap=quantity is None and _is_expected(now.asked.periods, start, end, known_to),
            )
        )
    return tuple(places)


def _is_expected(
    periods: Sequence[UsagePeriod], start: datetime, end: datetime, known_to: datetime | None
) -> bool:
    """Whether usage of all of this time should be known by now."""
    if known_to is None or end > known_to:
        return False
    return any(each.start < end and start < each.end for each in periods)


def _starts(question: Question, zone: ZoneInfo) -> Iterator[datetime]:
    """When, in UTC, its bars begin."""
    period = question.period(zone)
    if question.step in ("5m", "hour"):
        step = _HOUR if question.step == "hour" else _FIVE_MINUTES
        count = -(-(period.end - period.start) // step)
        yield from (period.start + number * step for number in range(count))
        return
    day = question.first if question.step == "day" else question.first.replace(day=1)
    while day <= question.last:
        yield datetime.combine(day, time(), zone).astimezone(period.start.tzinfo)
        day = day + _DAY if question.step == "day" else _next_month(day)


def _next_month(first: date) -> date:
    return (first + 32 * _DAY).replace(day=1)


def _combined(meter: str, quantities: Sequence[int | None]) -> int | None:
    known = [each for each in quantities if each is not None]
    return combined_quantities(meter, known) if known else None


def _chart(now: _Time, places: Sequence[Place], rows: Sequence[Row], zone: ZoneInfo) -> Chart:
    meter = now.question.meter
    unit = usage_unit(meter, max((each.quantity or 0 for each in places), default=0))
    axis = Axis(quantity, unit=unit_name(unit.name, Decimal(2)), size=Decimal(unit.raw_per_unit))
    earlier = [
        None
        if each.earlier is None or each.earlier_start is None
        else Earlier(_name(each.earlier_start, now.question, zone), Decimal(each.earlier))
        for each in places
    ]
    return bar_chart(
        [_slot(each, now.question, zone) for each in places],
        _series(now, places, rows),
        lambda raw: usage(meter, int(raw)),
        axis,
        earlier if any(earlier) else (),
    )


def _series(now: _Time, places: Sequence[Place], rows: Sequence[Row]) -> list[Series]:
    """The largest groups, and all others as one; maxima cannot be stacked on each other."""
    whole = tuple(Decimal(each.quantity or 0) for each in places)
    key = now.question.key
    if key is None or len(rows) < 2 or kind_of(now.question.meter) == "maximum":
        return [Series("", whole)]
    shown = rows if len(rows) <= SERIES_MAX else rows[: SERIES_MAX - 1]
    by_place = _by_place(now, key, [row.id for row in shown])
    layers = [
        Series(
            row.name,
            tuple(Decimal(by_place[row.id].get(each.start, 0)) for each in places),
            row.generated,
        )
        for row in shown
    ]
    if len(rows) > len(shown):
        others = gettext("%(count)d others") % {"count": len(rows) - len(shown)}
        sums = [sum(values) for values in zip(*(each.values for each in layers), strict=True)]
        rest = tuple(all_ - own for all_, own in zip(whole, sums, strict=True))
        layers.append(Series(others, rest))
    return layers


def _by_place(
    now: _Time, key: Key, ids: Sequence[UUID | None]
) -> Mapping[UUID | None, Mapping[datetime, int]]:
    """Of a few groups alone, so that the answer is bounded however many there are; instances and
    hosts are bounded by their points."""
    asked = now.asked
    if key in _FIELDS:
        wanted = Application.objects.filter(**{f"{_FIELDS[key]}__in": ids})
        inside = set(wanted.values_list("pk", flat=True))
        asked = replace(asked, periods=[p for p in asked.periods if p.application_id in inside])
    return quantity_by_group(asked, key)


_FIELDS: Final[Mapping[Key, str]] = {"application": "pk", "environment": "environment"}


def _slot(place: Place, question: Question, zone: ZoneInfo) -> Slot:
    local = place.start.astimezone(zone)
    label, group = {
        "5m": (f"{local:%H:%M}", ""),
        "hour": (f"{local:%H}", day_of_year(local)),
        "day": (day_of_month(local), month_name(local)),
        "month": (month_name(local), f"{local:%Y}"),
    }[question.step]
    gap = gettext("nothing was measured") if place.is_gap else ""
    return Slot(label, _name(place.start, question, zone), place.is_open, group, gap)


def _name(start: datetime, question: Question, zone: ZoneInfo) -> str:
    local = start.astimezone(zone)
    return {
        "5m": f"{local:%H:%M}",
        "hour": f"{day_of_year(local)}, {local:%H:%M}",
        "day": day_of_year(local),
        "month": f"{month_name(local)} {local:%Y}",
    }[question.step]
