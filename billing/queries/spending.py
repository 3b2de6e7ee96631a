"""What a calendar month of a customer has come to, from the same figures as the upcoming invoice,
and where budgets stand in it."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import F, Min

from billing.billable import billable_periods
from billing.core.budgets import Standing, month_of
from billing.core.exact import EXACT, ZERO
from billing.core.forecast import Forecast, forecast
from billing.core.money import sum_amounts
from billing.core.periods import Period
from billing.core.quantity import in_unit, plus, unit_for
from billing.models import Budget, Subscription
from billing.queries.upcoming import DailyCharge, MonthToDate, month_to_date
from metering.models import Application
from metering.usage import usage_by_day
from tenants.models import Customer

# A month has no more weeks.
_PERIODS_MAX: Final = 6
_DAY: Final = timedelta(days=1)


class NoFigures(Exception):
    """A budget cannot be compared with anything; says why."""


@dataclass(frozen=True, slots=True)
class Spending:
    """A customer's month so far: what each day and application came to, before tax.

    What is of no application, such as a fee, is left out where the subscription is billed by more
    than a month: it is not this month's.
    """

    customer: Customer
    month: Period
    as_of: datetime
    currency: str
    days: tuple[DailyCharge, ...]
    since: datetime


def customers_with_budgets() -> list[Customer]:
    """Those first whose budgets were not looked at for the longest."""
    oldest = (
        Budget.objects.kept()
        .order_by()
        .values("customer")
        .annotate(oldest=Min("evaluated_at"))
        .order_by(F("oldest").asc(nulls_first=True), "customer")
    )
    ids = [row["customer"] for row in oldest]
    customers = Customer.objects.in_bulk(ids)
    return [customers[pk] for pk in ids]


def spending_of(customer: Customer, *, as_of: datetime) -> Spending | None:
    """None without a subscription or prices."""
    month = month_of(as_of, customer.time_zone)
    first, last = _days_of(month, customer.time_zone)
    days: list[DailyCharge] = []
    newest: MonthToDate | None = None
    since = moment = as_of
    for _ in range(_PERIODS_MAX):
        read = month_to_date(customer, as_of=moment)
        if read is None or (newest and read.upcoming.currency != newest.upcoming.currency):
            break
        newest = newest or read
        since = read.upcoming.period.start
        days += [day for day in _counted(read) if first <= day.day <= last]
        if since <= month.start:
            break
        moment = since - timedelta.resolution
    if newest is None:
        return None
    code = newest.upcoming.currency.code
    return Spending(customer, month, as_of, code, tuple(days), max(since, month.start))


def _counted(read: MonthToDate) -> list[DailyCharge]:
    interval = read.upcoming.subscription.interval
    if interval in {Subscription.Interval.WEEKLY, Subscription.Interval.MONTHLY}:
        return list(read.days)
    return [day for day in read.days if day.application_id is not None]


def standing_of(budget: Budget, spending: Spending | None, *, as_of: datetime) -> Standing:
    """Where a budget of the customer stands. Raises NoFigures."""
    if budget.scope == Budget.Scope.METER:
        return _of_quantity(budget, as_of)
    if spending is None:
        raise NoFigures("there is no subscription with prices")
    if spending.currency != budget.currency:
        raise NoFigures(f"the customer is billed in {spending.currency}")
    return _of_amounts(budget, spending)


def _of_amounts(budget: Budget, spending: Spending) -> Standing:
    wanted = _applications_in(budget)
    own = [day for day in spending.days if wanted is None or day.application_id in wanted]
    spent = sum_amounts([day.amount for day in own])
    by_day: defaultdict[date, Decimal] = defaultdict(lambda: ZERO)
    for day in own:
        if day.application_id is not None:
            by_day[day.day] = EXACT.add(by_day[day.day], day.amount)
    fixed = sum_amounts([day.amount for day in own if day.application_id is None])
    foreseen = _foreseen(by_day, spending.month, spending.since, spending.as_of, spending.customer)
    if foreseen is not None:
        foreseen = Forecast(*(each + fixed for each in foreseen))
    return Standing(spent, foreseen)


def _applications_in(budget: Budget) -> Collection[UUID | None] | None:
    """Of which applications it is; None: of all, and of what is of none."""
    if budget.scope == Budget.Scope.APPLICATION:
        return {budget.application_id}
    if budget.scope == Budget.Scope.ENVIRONMENT:
        rows = Application.objects.filter(environment=budget.environment_id)
        return set(rows.values_list("pk", flat=True))
    return None


def _of_quantity(budget: Budget, as_of: datetime) -> Standing:
    customer = budget.customer
    month = month_of(as_of, customer.time_zone)
    unit = unit_for(budget.meter, budget.unit)
    periods = billable_periods(customer, Period(month.start, as_of))
    used = usage_by_day(periods, [budget.meter], customer.time_zone) if periods else {}
    by_day = {
        day: in_unit(plus(*(each.get(budget.meter, 0) for each in applications.values())), unit)
        for day, applications in used.items()
    }
    since = max(min((each.start for each in periods), default=as_of), month.start)
    spent = sum_amounts(list(by_day.values()))
    return Standing(spent, _foreseen(by_day, month, since, as_of, customer))


def _foreseen(
    by_day: "dict[date, Decimal] | defaultdict[date, Decimal]",
    month: Period,
    since: datetime,
    as_of: datetime,
    customer: Customer,
) -> Forecast | None:
    """Carried on from the day `since`, which has begun by `as_of`, to the month's end."""
    zone = ZoneInfo(customer.time_zone)
    now = as_of.astimezone(zone)
    first, last = since.astimezone(zone).date(), _days_of(month, customer.time_zone)[1]
    today = now.date()
    daily = [
        by_day.get(first + day * _DAY, ZERO) for day in range(max((today - first).days + 1, 0))
    ]
    into_today = now.replace(tzinfo=None) - datetime(today.year, today.month, today.day)  # noqa: DTZ001
    elapsed = Decimal((today - first).days) + Decimal(into_today.seconds) / 86_400
    return forecast(daily, elapsed, Decimal((last - first).days + 1))


def _days_of(month: Period, time_zone: str) -> tuple[date, date]:
    """Its first and its last."""
    zone = ZoneInfo(time_zone)
    end = (month.end - timedelta.resolution).astimezone(zone)
    return month.start.astimezone(zone).date(), end.date()
