"""The running period as pages show it: its invoice so far, by application, and how it stands beside
a forecast and the last period. Every query runs inside a tenant's scope."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Min, Sum
from django.utils.translation import gettext

from billing.core.currencies import Currency
from billing.core.exact import EXACT, ZERO
from billing.core.money import sum_amounts
from billing.core.periods import Period
from billing.core.rating import RatedLine
from billing.models import Invoice, InvoiceLine, PlanVersion, Subscription
from billing.queries import DailyCharge, MonthToDate, UpcomingInvoice
from portal.charges import is_charge, keyed
from portal.chart import Axis, Chart, Series, bar_chart
from portal.formatting import amount
from portal.queries import (
    OTHER_CHARGES,
    MeterCharge,
    charges_by_meter,
    day_slots,
    local_days,
)
from portal.standing import Standing, standing_of

# The layers of a chart that can be told apart; what is left is one layer of its own.
LAYERS_MAX: Final = 8
# Stands for all applications that have no layer.
REST: Final = UUID(int=0)


class BeingCounted(Exception):
    """Nothing is kept yet of this customer; a worker has been asked to count."""


@dataclass(frozen=True, slots=True)
class ApplicationTotal:
    """What an application's lines come to, or those of none."""

    application_id: UUID | None
    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class RunningHead:
    """The running invoice without its lines. `charges` has every application, dearest first."""

    subscription: Subscription
    plan_version: PlanVersion
    period: Period
    as_of: datetime
    currency: Currency
    total: Decimal
    line_count: int
    charges: tuple[ApplicationTotal, ...]


@dataclass(frozen=True, slots=True)
class RunningInvoice:
    """As the period would be billed at `head.as_of`. Both functions may raise BeingCounted."""

    head: RunningHead
    lines_of: Callable[[Collection[UUID | None]], Sequence[RatedLine]]
    """The lines of some applications, in the invoice's order."""
    charge_of: Callable[[str], RatedLine | None]
    """The line without usage of an application that portal.charges.keyed gives a name."""

    @property
    def total(self) -> Decimal:
        return self.head.total

    @property
    def currency(self) -> Currency:
        return self.head.currency

    @property
    def period(self) -> Period:
        return self.head.period

    @property
    def plan_version(self) -> PlanVersion:
        return self.head.plan_version

    @property
    def as_of(self) -> datetime:
        return self.head.as_of


@dataclass(frozen=True, slots=True)
class RunningMonth:
    """`days` has at most LAYERS_MAX applications and REST."""

    head: RunningHead
    by_meter: tuple[MeterCharge, ...]
    days: tuple[DailyCharge, ...]
    standing: Standing


def head_of(upcoming: UpcomingInvoice) -> RunningHead:
    return RunningHead(
        upcoming.subscription,
        upcoming.plan_version,
        upcoming.period,
        upcoming.as_of,
        upcoming.currency,
        upcoming.total,
        len(upcoming.lines),
        tuple(
            ApplicationTotal(each.application_id, each.name, each.amount)
            for each in upcoming.by_application()
        ),
    )


def live_invoice(upcoming: UpcomingInvoice) -> RunningInvoice:
    """What was rated just now."""
    customer = upcoming.subscription.customer

    def lines_of(application_ids: Collection[UUID | None]) -> Sequence[RatedLine]:
        wanted = {str(each) if each else None for each in application_ids}
        return [line for line in upcoming.lines if line.application_id in wanted]

    def charge_of(key: str) -> RatedLine | None:
        named = keyed(customer, upcoming.lines)
        return next((line for each, line in named if each == key and is_charge(line)), None)

    return RunningInvoice(head_of(upcoming), lines_of, charge_of)


def running_month(month: MonthToDate) -> RunningMonth:
    """Rates the last period too: several times as long as the running one alone."""
    upcoming = month.upcoming
    customer = upcoming.subscription.customer
    head = head_of(upcoming)
    return RunningMonth(
        head,
        tuple(charges_by_meter(upcoming)),
        tuple(_layered(month.days, head.charges)),
        standing_of(customer, month, as_of=upcoming.as_of),
    )


def _layered(
    days: Iterable[DailyCharge], charges: Sequence[ApplicationTotal]
) -> Iterable[DailyCharge]:
    """The days of the dearest applications, and of all others together; what is of no application
    stays as it is."""
    owned = [each.application_id for each in charges if each.application_id is not None]
    if len(owned) <= LAYERS_MAX:
        yield from days
        return
    apart = {*owned[: LAYERS_MAX - 1], None}
    rest: defaultdict[date, Decimal] = defaultdict(lambda: ZERO)
    for each in days:
        if each.application_id in apart:
            yield each
        else:
            rest[each.day] = EXACT.add(rest[each.day], each.amount)
    for day, charged in rest.items():
        yield DailyCharge(day, REST, "", charged)


def left_over(charges: Sequence[ApplicationTotal]) -> Decimal:
    return sum_amounts([each.amount for each in charges])


def charges_of(invoice: Invoice) -> list[ApplicationTotal]:
    """What a stored invoice charges for each application, dearest first."""
    owned = InvoiceLine.objects.filter(invoice=invoice).order_by()
    sums = owned.values("application").annotate(charged=Sum("amount"), name=Min("application_name"))
    totals = [ApplicationTotal(row["application"], row["name"], row["charged"]) for row in sums]
    return sorted(totals, key=lambda each: (-each.amount, each.name))


def charges_chart(
    charges: Iterable[DailyCharge],
    head: RunningHead,
    zone: ZoneInfo,
    generated: Collection[UUID] = (),
) -> Chart:
    """The period's charges, a bar for each day and a layer for each application; those that are
    `generated` are marked in the legend."""
    days = local_days(head.period, zone)
    by_application: defaultdict[tuple[str, UUID | None], dict[date, Decimal]] = defaultdict(dict)
    for charge in charges:
        by_application[charge.name, charge.application_id][charge.day] = charge.amount
    series = [
        Series(
            _layer_name(name, application_id),
            tuple(amounts.get(day, ZERO) for day in days),
            application_id in generated,
        )
        for (name, application_id), amounts in sorted(
            by_application.items(), key=lambda each: _place(*each[0])
        )
    ]
    slots = day_slots(head.period, zone, as_of=head.as_of)

    def written(value: Decimal) -> str:
        return amount(value, head.currency.code)

    axis = Axis(written, step_min=head.currency.minor_unit)
    return bar_chart(slots, series, written, axis)


def _layer_name(name: str, application_id: UUID | None) -> str:
    if application_id == REST:
        return gettext("All others")
    return name or gettext(OTHER_CHARGES)


def _place(name: str, application_id: UUID | None) -> tuple[bool, str, str]:
    """By name, what has no layer of its own last."""
    return application_id == REST, name, str(application_id)
