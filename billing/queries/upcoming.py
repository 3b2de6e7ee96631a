"""The current period's charges as they stand, from the newest usage."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from billing.billable import billable_periods, billable_usage_by_day
from billing.core.contract import Contract, rated_contract
from billing.core.contract_days import contract_days
from billing.core.currencies import Currency
from billing.core.money import sum_amounts
from billing.core.periods import Period, zone_named
from billing.core.rating import RatedInvoice, RatedLine
from billing.models import PlanVersion, Subscription
from billing.queries.agreed import NotQuotedInCurrency
from billing.queries.contracts import contract_of
from billing.queries.periods import (
    PlanHasNoVersion,
    current_period,
    plan_version_for,
    subscription_of,
)
from billing.queries.rated import prices_by_span, time_of_contracts, usage_of_contracts
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


def upcoming_invoice(customer: Customer, *, as_of: datetime) -> UpcomingInvoice | None:
    """The invoice of the current period so far; None without a subscription or prices."""
    basis = _basis(customer, as_of)
    if basis is None:
        return None
    (usage,) = usage_of_contracts([(basis.subscription, basis.contract)])
    (time,) = time_of_contracts([(basis.subscription, basis.contract)])
    rated = rated_contract(basis.contract, usage, time)
    return _upcoming(basis, rated, as_of)


def month_to_date(customer: Customer, *, as_of: datetime) -> MonthToDate | None:
    """The upcoming invoice with its days; None without a subscription or prices."""
    basis = _basis(customer, as_of)
    if basis is None:
        return None
    read = {
        span: billable_usage_by_day(basis.subscription.customer, prices, span)
        for span, prices in prices_by_span(basis.contract).items()
    }
    usage = {span: whole for span, (_, whole) in read.items()}
    (time,) = time_of_contracts([(basis.subscription, basis.contract)])
    upcoming = _upcoming(basis, rated_contract(basis.contract, usage, time), as_of)
    names = {line.application_id: line.application_name for line in upcoming.lines}
    by_day = {span: days for span, (days, _) in read.items()}
    charges = contract_days(basis.contract, by_day, usage, upcoming.rated, _last_day(basis, as_of))
    days = tuple(
        DailyCharge(
            charge.day,
            UUID(charge.application_id) if charge.application_id else None,
            names.get(charge.application_id, ""),
            charge.amount,
        )
        for charge in charges
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
    contract: Contract


def _basis(customer: Customer, as_of: datetime) -> _Basis | None:
    subscription = subscription_of(customer, as_of=as_of)
    if subscription is None:
        return None
    period = current_period(subscription, as_of=as_of)
    try:
        version = plan_version_for(subscription.plan, period.start)
        contract = contract_of(subscription, period)
    except (PlanHasNoVersion, NotQuotedInCurrency):
        return None
    return _Basis(subscription, version, period, contract)


def _upcoming(basis: _Basis, rated: RatedInvoice, as_of: datetime) -> UpcomingInvoice:
    customer = basis.subscription.customer
    own = [usage.application_id for usage in billable_periods(customer, basis.period)]
    return UpcomingInvoice(
        subscription=basis.subscription,
        plan_version=basis.plan_version,
        period=basis.period,
        as_of=as_of,
        complete_to=completeness(as_of, own).complete_to,
        rated=rated,
    )
