"""The current period's charges as they stand, from the newest usage."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from billing.billable import billable_periods, billable_usage, billable_usage_by_day
from billing.core.charges import rate_usage
from billing.core.currencies import Currency
from billing.core.daily import charge_days
from billing.core.money import sum_amounts
from billing.core.periods import Period, zone_named
from billing.core.rating import RatedInvoice, RatedLine
from billing.models import PlanVersion, Subscription
from billing.prices import price_specs
from billing.queries.periods import (
    PlanHasNoVersion,
    current_period,
    plan_version_for,
    subscription_of,
)
from metering.queries import completeness
from tenants.models import Customer


@dataclass(frozen=True, slots=True)
class ApplicationCharges:
    """One application's part of a charge, or what is of none; `amount` is the sum of its lines'
    amounts."""

    application_id: UUID | None
    name: str
    amount: Decimal
    lines: tuple[RatedLine, ...]


@dataclass(frozen=True, slots=True)
class DailyCharge:
    """What an application's usage of one day, in the customer's time zone, cost. What is of no
    application, such as a fee, has neither id nor name."""

    day: date
    application_id: UUID | None
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
            charge.day,
            UUID(charge.application_id) if charge.application_id else None,
            names[charge.application_id],
            charge.amount,
        )
        for charge in charge_days(prices, by_day, upcoming.rated, _last_day(basis, as_of))
    )
    return MonthToDate(upcoming, days)


def application_charges(lines: Iterable[RatedLine]) -> list[ApplicationCharges]:
    """Lines gathered by application, dearest first."""
    gathered: defaultdict[str | None, list[RatedLine]] = defaultdict(list)
    for line in lines:
        gathered[line.application_id].append(line)
    charges = [
        ApplicationCharges(
            application_id=UUID(application_id) if application_id else None,
            name=own[0].application_name,
            amount=sum_amounts([line.amount for line in own]),
            lines=tuple(own),
        )
        for application_id, own in gathered.items()
    ]
    return sorted(charges, key=lambda charge: (-charge.amount, charge.name))


def _last_day(basis: "_Basis", as_of: datetime) -> date:
    """The newest local day of the period that has begun."""
    last = min(as_of, basis.period.end - timedelta.resolution)
    return last.astimezone(zone_named(basis.subscription.customer.time_zone)).date()


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
