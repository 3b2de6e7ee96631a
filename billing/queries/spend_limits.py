"""Customers' months beside the limits of spend of policies: of the running month, and of the last
one for a version that nobody goes by yet. Nothing here writes, all of it runs in a tenant's scope.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
from django.db import DatabaseError, connection, transaction

from billing.core.budgets import month_of
from billing.core.exact import InexactNumber
from billing.core.periods import Period
from billing.core.spend_limits import Spend, passed_on, spends
from billing.models import Subscription
from billing.queries.spending import Spending, spending_of
from metering.models import Application, Assignment
from metering.spend_simulation import SpendOver, SpendSimulation
from tenants.models import Customer
from tenants.policy_models import PolicyVersion

CUSTOMERS_AT_ONCE: Final = 100
# A page that rates may take about this long.
_SECONDS_MAX: Final = 15
_TICK: Final = timedelta.resolution
# Time zones are less than a day away from UTC.
_ZONES_SPAN: Final = timedelta(days=1)


class _NotJudged(Exception):
    """Why a customer cannot be held against a limit, in words."""


def judged(
    spending: Spending | None, versions: Sequence[PolicyVersion]
) -> Iterator[tuple[PolicyVersion, Spend]]:
    """What the customer has spent beside each limit; of one in another currency nothing."""
    if spending is None:
        return
    amounts = [(day.application_id, day.amount) for day in spending.days]
    for version in versions:
        if version.spend_currency != spending.currency:
            continue
        for spend in spends(
            amounts,
            frozenset(_judged_applications(spending, version)),
            application_max=version.application_spend_max,
            customer_max=version.customer_spend_max,
        ):
            yield version, spend


def _judged_applications(spending: Spending, version: PolicyVersion) -> dict[UUID, str]:
    """Those that were charged and stand where the policy holds, with their names."""
    ids = {day.application_id for day in spending.days if day.application_id is not None}
    own = Application.objects.filter(pk__in=ids, environment__policy=version.policy_id)
    return dict(own.values_list("pk", "name"))


def simulate_spend(version: PolicyVersion, *, after: str = "", as_of: datetime) -> SpendSimulation:
    """The limits of spend against the last whole calendar month of each customer, of those to whom
    the applications of the policy's environments were billed in it. At most CUSTOMERS_AT_ONCE, and
    as many as can be rated while somebody waits; `more_after` says from where to go on."""
    customers = _customers(version, after, as_of)
    until = time.monotonic() + _SECONDS_MAX
    over: list[SpendOver] = []
    left_out: list[tuple[str, str]] = []
    done: list[Customer] = []
    for customer in customers[:CUSTOMERS_AT_ONCE]:
        left = until - time.monotonic()
        # One at least, or nobody would ever come any further.
        if done and left <= 1:
            break
        done.append(customer)
        try:
            over += _over(customer, version, as_of, seconds_max=max(int(left), 1))
        except _NotJudged as reason:
            left_out.append((customer.reference, str(reason)))
    return SpendSimulation(
        over=tuple(sorted(over, key=lambda each: (-each.over_by, each.reference))),
        judged=len(done) - len(left_out),
        left_out=tuple(left_out),
        more_after=done[-1].reference if len(done) < len(customers) else "",
    )


def _customers(version: PolicyVersion, after: str, as_of: datetime) -> list[Customer]:
    """By reference; one more than are looked at where there are more."""
    first = _last_month(as_of - _ZONES_SPAN, "UTC").start - _ZONES_SPAN
    end = _last_month(as_of + _ZONES_SPAN, "UTC").end + _ZONES_SPAN
    billed = Assignment.objects.filter(
        application__environment__policy=version.policy_id, starts_at__lt=end
    ).exclude(ends_at__lte=first)
    rows = Customer.objects.filter(pk__in=billed.values("customer"), reference__gt=after)
    return list(rows.order_by("reference")[: CUSTOMERS_AT_ONCE + 1])


def _last_month(as_of: datetime, time_zone: str) -> Period:
    return month_of(month_of(as_of, time_zone).start - _TICK, time_zone)


def _over(
    customer: Customer, version: PolicyVersion, as_of: datetime, *, seconds_max: int
) -> list[SpendOver]:
    """Raises _NotJudged."""
    month = _last_month(as_of, customer.time_zone)
    spending = _spending(customer, month, seconds_max)
    if spending is None:
        raise _NotJudged("no subscription with prices in the month")
    if spending.currency != version.spend_currency:
        raise _NotJudged(f"billed in {spending.currency}")
    names = _judged_applications(spending, version)
    return [
        _found(spending, spend, names, version)
        for _, spend in judged(spending, [version])
        if spend.is_over
    ]


def _spending(customer: Customer, month: Period, seconds_max: int) -> Spending | None:
    """As it stood at the end of the month, or of the subscription, by all that is known now."""
    moment = _last_moment(customer, month)
    if moment is None:
        return None
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {seconds_max * 1_000}")
            found = spending_of(customer, as_of=moment)
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")
            return found
    except DatabaseError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise _NotJudged("more usage than a page can wait for") from error
        raise
    except (ValueError, InexactNumber) as error:
        raise _NotJudged(str(error)) from error


def _last_moment(customer: Customer, month: Period) -> datetime | None:
    begun = Subscription.objects.filter(customer=customer, starts_at__lt=month.end)
    last = begun.order_by("starts_at").last()
    if last is None or (last.ends_at is not None and last.ends_at <= month.start):
        return None
    return min(month.end, last.ends_at or month.end) - _TICK


def _found(
    spending: Spending, spend: Spend, names: dict[UUID, str], version: PolicyVersion
) -> SpendOver:
    wanted = set(names) if spend.application_id is None else {spend.application_id}
    own = [(day.day, day.amount) for day in spending.days if day.application_id in wanted]
    day = passed_on(own, spend.limit)
    if day is None:
        # It sums the same days as the limit was compared with.
        raise AssertionError("a month over its limit passes it on one of its days")
    return SpendOver(
        customer=spending.customer.name,
        reference=spending.customer.reference,
        application="" if spend.application_id is None else names[spend.application_id],
        term=spend.term,
        month=day.replace(day=1),
        spent=spend.spent,
        limit=spend.limit,
        currency=version.spend_currency,
        passed_on=day,
    )
