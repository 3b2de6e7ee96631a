"""What a plan version would have charged for usage that was: nothing is written."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from billing.core.exact import InexactNumber
from billing.core.money import sum_amounts
from billing.core.periods import Period
from billing.core.rating import RatedInvoice
from billing.models import PlanVersion, Subscription
from billing.queries.agreed import Agreed, NotQuotedInCurrency
from billing.queries.periods import Bounds, PlanHasNoVersion, invoiced_bounds, period_at
from billing.queries.rated import rated_periods

_SUBSCRIPTIONS_AT_ONCE: Final = 50
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class BacktestedPeriod:
    """One customer's billing period under the terms of its day and under the version, from the
    same usage; totals before tax, in `currency`. `unrated` says why the version, or the plan of
    the day, cannot rate it; the totals are 0 then."""

    customer_id: UUID
    customer: str
    reference: str
    period: Period
    currency: str
    old: Decimal
    new: Decimal
    unrated: str = ""

    @property
    def difference(self) -> Decimal:
        return self.new - self.old


@dataclass(frozen=True, slots=True)
class BacktestedCustomer:
    """All of one customer's periods in one currency."""

    customer: str
    reference: str
    currency: str
    periods: int
    old: Decimal
    new: Decimal

    @property
    def difference(self) -> Decimal:
        return self.new - self.old


@dataclass(frozen=True, slots=True)
class BacktestTotal:
    """All periods in one currency."""

    currency: str
    periods: int
    old: Decimal
    new: Decimal

    @property
    def difference(self) -> Decimal:
        return self.new - self.old


def backtested_periods(
    version: PlanVersion, period: Period, *, as_of: datetime
) -> Iterator[BacktestedPeriod]:
    """Every billing period of the plan's subscriptions that begins in `period` and has ended by
    `as_of`, one after the other: however many there are, a few are in memory at a time."""
    for chunk in backtested_chunks(version, period, as_of=as_of):
        yield from chunk.periods


@dataclass(frozen=True, slots=True)
class BacktestChunk:
    """The periods of some subscriptions, how many and the last of those, and whether there may be
    more."""

    periods: Sequence[BacktestedPeriod]
    subscriptions: int
    last: UUID
    more: bool


def backtested_chunks(
    version: PlanVersion, period: Period, *, as_of: datetime, after: UUID | None = None
) -> Iterator[BacktestChunk]:
    """As backtested_periods, some subscriptions at a time, those `after` one of them."""
    for subscriptions in _subscriptions(version, period, after):
        invoiced = invoiced_bounds(subscriptions)
        due = [
            (each, billed)
            for each in subscriptions
            for billed in _ended_within(each, period, as_of, invoiced[each.pk])
        ]
        yield BacktestChunk(
            list(_backtested(due, version)),
            len(subscriptions),
            subscriptions[-1].pk,
            len(subscriptions) == _SUBSCRIPTIONS_AT_ONCE,
        )


def backtested_subscriptions(version: PlanVersion, period: Period) -> int:
    """How many subscriptions a backtest looks at."""
    return _subscribed(version, period).count()


def backtested_customers(periods: Iterable[BacktestedPeriod]) -> list[BacktestedCustomer]:
    """By currency, in each the customer first whose charges change the most, up or down."""
    own: dict[tuple[UUID, str], list[BacktestedPeriod]] = {}
    for each in periods:
        own.setdefault((each.customer_id, each.currency), []).append(each)
    customers = [
        BacktestedCustomer(
            billed[0].customer,
            billed[0].reference,
            currency,
            len(billed),
            sum_amounts([each.old for each in billed]),
            sum_amounts([each.new for each in billed]),
        )
        for (_, currency), billed in own.items()
    ]
    return sorted(
        customers, key=lambda each: (each.currency, -abs(each.difference), each.reference)
    )


def last_billed_month(version: PlanVersion, *, as_of: datetime) -> datetime:
    """An instant in the last whole month in which the plan had a subscription, in the current time
    zone; in the month before `as_of` where it had none."""
    before = _month_start(as_of) - _INSTANT
    begun = Subscription.objects.filter(plan=version.plan_id, starts_at__lte=before)
    ends = [each or before for each in begun.values_list("ends_at", flat=True).distinct()]
    return min(before, max(ends) - _INSTANT) if ends else before


def backtest_totals(
    periods: Iterable[BacktestedPeriod], before: Iterable[BacktestTotal] = ()
) -> list[BacktestTotal]:
    """The sums by currency, in the currencies' order, with those of periods `before`."""
    by_currency: dict[str, list[BacktestedPeriod]] = {}
    for each in periods:
        by_currency.setdefault(each.currency, []).append(each)
    had = {total.currency: total for total in before}
    none = BacktestTotal("", 0, Decimal(0), Decimal(0))
    return [
        BacktestTotal(
            currency,
            had.get(currency, none).periods + len(own),
            sum_amounts([had.get(currency, none).old, *(each.old for each in own)]),
            sum_amounts([had.get(currency, none).new, *(each.new for each in own)]),
        )
        for currency in sorted({*had, *by_currency})
        for own in [by_currency.get(currency, [])]
    ]


def largest_movers(periods: Iterable[BacktestedPeriod], count: int) -> Sequence[BacktestedPeriod]:
    """Whose charge changes the most, up or down; of equal changes by the customer's reference."""
    ordered = sorted(
        periods, key=lambda each: (-abs(each.difference), each.reference, each.period.start)
    )
    return ordered[:count]


def _month_start(instant: datetime) -> datetime:
    local = timezone.localtime(instant)
    return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _subscribed(version: PlanVersion, period: Period) -> "QuerySet[Subscription]":
    return Subscription.objects.filter(plan=version.plan_id, starts_at__lt=period.end).exclude(
        ends_at__lte=period.start
    )


def _subscriptions(
    version: PlanVersion, period: Period, last: UUID | None
) -> Iterator[list[Subscription]]:
    while True:
        chunk = _subscribed(version, period).select_related("customer", "plan").order_by("pk")
        if last is not None:
            chunk = chunk.filter(pk__gt=last)
        subscriptions = list(chunk[:_SUBSCRIPTIONS_AT_ONCE])
        if not subscriptions:
            return
        yield subscriptions
        last = subscriptions[-1].pk


def _ended_within(
    subscription: Subscription, period: Period, as_of: datetime, invoiced: Sequence[Bounds]
) -> Iterator[Period]:
    instant = max(subscription.starts_at, period.start)
    end = min(period.end, subscription.ends_at or period.end)
    while instant < end:
        billed = period_at(subscription, instant, invoiced)
        if as_of < billed.end:
            return
        if period.start <= billed.start:
            yield billed
        instant = billed.end


def _backtested(
    due: Sequence[tuple[Subscription, Period]], version: PlanVersion
) -> Iterator[BacktestedPeriod]:
    agreed = Agreed([subscription for subscription, _ in due])
    rated = zip(
        due, rated_periods(due, agreed), rated_periods(due, agreed, version=version), strict=True
    )
    for (subscription, period), old, new in rated:
        refused = [_refusal(each) for each in (old, new) if isinstance(each, Exception)]
        yield BacktestedPeriod(
            customer_id=subscription.customer_id,
            customer=subscription.customer.name,
            reference=subscription.customer.reference,
            period=period,
            currency=subscription.paid_in,
            old=Decimal(0) if refused else _total(old),
            new=Decimal(0) if refused else _total(new),
            unrated=str(refused[0]) if refused else "",
        )


def _refusal(error: Exception) -> Exception:
    """What says in words why something cannot be rated; anything else is raised."""
    if isinstance(error, (PlanHasNoVersion, NotQuotedInCurrency, ValueError, InexactNumber)):
        return error
    raise error


def _total(rated: RatedInvoice | Exception) -> Decimal:
    return rated.total if isinstance(rated, RatedInvoice) else Decimal(0)
