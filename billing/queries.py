"""What customers owe, as the portal and the admin ask for it. Every query runs inside a tenant's
scope and only reads.

Usage counts for a customer inside its assignments and the billing period alone. All amounts are
Decimals in the plan's currency.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import cast
from uuid import UUID

from django.db.models import Q

from billing.billable import billable_periods, billable_usage, billable_usage_by_day
from billing.core.charges import rate_usage
from billing.core.currencies import Currency
from billing.core.daily import charge_days
from billing.core.money import sum_amounts
from billing.core.periods import (
    Anchoring,
    BillingCycle,
    Period,
    billing_period_containing,
)
from billing.core.rating import RatedInvoice, RatedLine
from billing.models import Invoice, Plan, PlanVersion, Subscription
from billing.prices import price_specs
from metering.queries import completeness
from tenants.models import Customer


class PlanHasNoVersion(Exception):
    """No version of the plan was in effect when the period began."""


@dataclass(frozen=True, slots=True)
class ApplicationCharges:
    """One application's part of a charge; `amount` is the sum of its lines' amounts."""

    application_id: UUID
    name: str
    amount: Decimal
    lines: tuple[RatedLine, ...]


@dataclass(frozen=True, slots=True)
class DailyCharge:
    """What an application's usage of one day, in the customer's time zone, cost."""

    day: date
    application_id: UUID
    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class UpcomingInvoice:
    """The current period's invoice as it stands at `as_of`, priced from the newest usage.

    All hosts of the customer that report have delivered up to `complete_to`.
    """

    subscription: Subscription
    plan_version: PlanVersion
    period: Period
    as_of: datetime
    complete_to: datetime | None
    rated: RatedInvoice

    @property
    def currency(self) -> Currency:
        return self.rated.currency

    @property
    def lines(self) -> tuple[RatedLine, ...]:
        return self.rated.lines

    @property
    def total(self) -> Decimal:
        return self.rated.total

    def by_application(self) -> list[ApplicationCharges]:
        """The lines gathered by application, dearest first."""
        return application_charges(self.lines)


@dataclass(frozen=True, slots=True)
class MonthToDate:
    """The upcoming invoice and its days, from one reading of the usage: the days sum, in total
    and for each application, to the invoice."""

    upcoming: UpcomingInvoice
    days: tuple[DailyCharge, ...]


def subscription_of(customer: Customer, *, as_of: datetime) -> Subscription | None:
    """The subscription that is running at `as_of`."""
    running = Q(starts_at__lte=as_of) & (Q(ends_at__isnull=True) | Q(ends_at__gt=as_of))
    return (
        Subscription.objects.filter(running, customer=customer)
        .select_related("plan", "customer")
        .order_by("starts_at")
        .last()
    )


def cycle_of(subscription: Subscription) -> BillingCycle:
    """Where the subscription's billing periods begin, in the customer's time zone."""
    return BillingCycle(
        start=subscription.starts_at,
        time_zone=subscription.customer.time_zone,
        anchoring=cast(Anchoring, subscription.cycle),
    )


def current_period(subscription: Subscription, *, as_of: datetime) -> Period:
    """The billing period that `as_of` lies in; the last one ends with the subscription.

    An invoiced period stays as it was invoiced, and those around it end and begin with it, even
    if the customer has moved to another time zone since. Raises BeforeBilling for what lies before
    the subscription's start and PeriodEmpty for what lies after its end.
    """
    invoiced = _invoiced_bounds(subscription)
    before = [bounds for bounds in invoiced if bounds[0] <= as_of]
    if before and as_of < before[-1][1]:
        return Period(*before[-1])
    period = billing_period_containing(as_of, cycle_of(subscription))
    ends = [start for start, _ in invoiced[len(before) :][:1]]
    if subscription.ends_at is not None:
        ends.append(subscription.ends_at)
    starts = [end for _, end in before[-1:]]
    return Period(max([period.start, *starts]), min([period.end, *ends]))


def _invoiced_bounds(subscription: Subscription) -> list[tuple[datetime, datetime]]:
    invoices = Invoice.objects.filter(subscription=subscription).order_by("period_start")
    return list(invoices.values_list("period_start", "period_end"))


def ended_periods(subscription: Subscription, *, as_of: datetime) -> Iterator[Period]:
    """The periods that have ended by `as_of` and have no invoice, oldest first.

    All periods since the subscription's start are looked at, not only those after the newest
    invoice: one that was passed over because its plan had no prices is due once it has some.
    """
    invoiced = dict(_invoiced_bounds(subscription))
    start = subscription.starts_at
    while start < (subscription.ends_at or as_of):
        if start in invoiced:
            start = invoiced[start]
            continue
        period = current_period(subscription, as_of=start)
        if as_of < period.end:
            return
        if period.start not in invoiced:
            yield period
        start = period.end


def periods_due(subscription: Subscription, *, as_of: datetime) -> Iterator[Period]:
    """What is to be closed: ended periods without an invoice, for which the plan has prices."""
    for period in ended_periods(subscription, as_of=as_of):
        if has_prices(subscription.plan, period.start):
            yield period


def due_periods(*, as_of: datetime) -> list[tuple[Subscription, Period]]:
    """What is to be closed in all of the tenant."""
    return [
        (subscription, period)
        for subscription in Subscription.objects.select_related("customer", "plan")
        for period in periods_due(subscription, as_of=as_of)
    ]


def has_prices(plan: Plan, period_start: datetime) -> bool:
    """Whether a version of the plan was in effect when the period began."""
    return PlanVersion.objects.filter(plan=plan, effective_from__lte=period_start).exists()


def is_used(plan_version: PlanVersion) -> bool:
    """Whether an invoice was rated with the version, which then cannot change any more."""
    return Invoice.objects.filter(plan_version=plan_version).exists()


def plan_version_for(plan: Plan, period_start: datetime) -> PlanVersion:
    """The version that rates a period: the newest in effect when it began.

    Raises PlanHasNoVersion.
    """
    effective = PlanVersion.objects.filter(plan=plan, effective_from__lte=period_start)
    version = effective.order_by("effective_from", "number").last()
    if version is None:
        raise PlanHasNoVersion(f"{plan} has no prices for {period_start:%Y-%m-%d}")
    return version


def rated_period(customer: Customer, plan_version: PlanVersion, period: Period) -> RatedInvoice:
    """The customer's usage of the period under the version's prices."""
    prices = price_specs(plan_version)
    usage = billable_usage(customer, prices, period)
    return rate_usage(prices, usage, plan_version.plan.currency)


def upcoming_invoice(customer: Customer, *, as_of: datetime) -> UpcomingInvoice | None:
    """The invoice of the current period so far; None without a subscription or prices."""
    basis = _basis(customer, as_of)
    return None if basis is None else _upcoming(basis, rated_period(*basis.rated_by), as_of)


def month_to_date(customer: Customer, *, as_of: datetime) -> MonthToDate | None:
    """The upcoming invoice with its days; None without a subscription or prices."""
    basis = _basis(customer, as_of)
    if basis is None:
        return None
    prices = price_specs(basis.plan_version)
    currency = basis.plan_version.plan.currency
    by_day, whole = billable_usage_by_day(customer, prices, basis.period)
    upcoming = _upcoming(basis, rate_usage(prices, whole, currency), as_of)
    names = {line.application_id: line.application_name for line in upcoming.lines}
    days = tuple(
        DailyCharge(
            charge.day, UUID(charge.application_id), names[charge.application_id], charge.amount
        )
        for charge in charge_days(prices, by_day, currency)
    )
    return MonthToDate(upcoming, days)


def is_usage_complete(invoice: Invoice, *, as_of: datetime) -> bool:
    """Whether all hosts that the invoice's usage comes from have delivered to the period's end.

    A silent host that has not is one whose usage is unknown.
    """
    period = Period(invoice.period_start, invoice.period_end)
    own = [usage.application_id for usage in billable_periods(invoice.customer, period)]
    known = completeness(as_of, own)
    delivered = [host.complete_to for host in known.silent_hosts]
    if known.complete_to is not None:
        delivered.append(known.complete_to)
    return all(end is not None and end >= period.end for end in delivered)


@dataclass(frozen=True, slots=True)
class ChangesSinceFinalized:
    """Usage that came, or came to be priced, after its invoice was issued. `lines` counts the
    pairs of price and application concerned; `amount` is what they would add to the total."""

    lines: int
    amount: Decimal


def changes_since_finalized(invoice: Invoice) -> ChangesSinceFinalized | None:
    """What the period's usage comes to now beyond the issued invoice; None where they agree, and
    for a draft, which is rated once more anyway."""
    if invoice.status != Invoice.Status.FINALIZED:
        return None
    period = Period(invoice.period_start, invoice.period_end)
    rated = rated_period(invoice.customer, invoice.plan_version, period)
    # Lines of nothing but usage that is not billed cost nothing, then and now.
    now = {
        (UUID(line.price_id), UUID(line.application_id), line.raw_quantity)
        for line in rated.lines
        if line.raw_quantity
    }
    stored = invoice.lines.exclude(raw_quantity=0).values_list(
        "price_id", "application_id", "raw_quantity"
    )
    billed = {(price, application, int(quantity)) for price, application, quantity in stored}
    changed = {(price, application) for price, application, _ in now ^ billed}
    if not changed:
        return None
    return ChangesSinceFinalized(len(changed), rated.total - invoice.total)


def application_charges(lines: Iterable[RatedLine]) -> list[ApplicationCharges]:
    """Lines gathered by application, dearest first."""
    gathered: defaultdict[str, list[RatedLine]] = defaultdict(list)
    for line in lines:
        gathered[line.application_id].append(line)
    charges = [
        ApplicationCharges(
            application_id=UUID(application_id),
            name=own[0].application_name,
            amount=sum_amounts([line.amount for line in own]),
            lines=tuple(own),
        )
        for application_id, own in gathered.items()
    ]
    return sorted(charges, key=lambda charge: (-charge.amount, charge.name))


@dataclass(frozen=True, slots=True)
class _Basis:
    subscription: Subscription
    plan_version: PlanVersion
    period: Period

    @property
    def rated_by(self) -> tuple[Customer, PlanVersion, Period]:
        return self.subscription.customer, self.plan_version, self.period


def _basis(customer: Customer, as_of: datetime) -> _Basis | None:
    subscription = subscription_of(customer, as_of=as_of)
    if subscription is None:
        return None
    period = current_period(subscription, as_of=as_of)
    try:
        version = plan_version_for(subscription.plan, period.start)
    except PlanHasNoVersion:
        return None
    return _Basis(subscription, version, period)


def _upcoming(basis: _Basis, rated: RatedInvoice, as_of: datetime) -> UpcomingInvoice:
    own = [usage.application_id for usage in billable_periods(basis.rated_by[0], basis.period)]
    return UpcomingInvoice(
        subscription=basis.subscription,
        plan_version=basis.plan_version,
        period=basis.period,
        as_of=as_of,
        complete_to=completeness(as_of, own).complete_to,
        rated=rated,
    )
