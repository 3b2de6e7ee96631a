"""The running period beside the one before it. Every query runs inside a tenant's scope.

Whole local days are compared: those of this period that are over with as many of the last one. So
neither the day that runs nor the hour at which a page is read makes a difference. Fees of the whole
period stand on both sides in full.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from billing.billable import Wanted, billable_usage
from billing.core.changes import Change, Charged, ChargeKey, changes, charged_by_key
from billing.core.contract import Contract, codes_of, rated_contract
from billing.core.periods import Period
from billing.core.rating import RatedInvoice, UsageQuantity
from billing.models import Invoice, Subscription
from billing.queries.agreed import NotQuotedInCurrency
from billing.queries.contracts import contract_of
from billing.queries.periods import PlanHasNoVersion, current_period
from billing.queries.rated import prices_by_span, rated_by, time_of_contracts

_Usage = Mapping[Period, list[UsageQuantity]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`span` is what is over of the running period, `span_before` as many days of the last one;
    `whole_before` is what all of that came to."""

    span: Period
    span_before: Period
    period_before: Period
    now: Decimal
    before: Decimal
    whole_before: Decimal
    changes: tuple[Change, ...]


def comparison_with_last(
    subscription: Subscription, period: Period, *, as_of: datetime
) -> Comparison | None:
    """The running `period` beside the last. None on its first day, in a first period, and where
    either has no prices or another currency."""
    zone = ZoneInfo(subscription.customer.time_zone)
    days = (as_of.astimezone(zone).date() - period.start.astimezone(zone).date()).days
    if days < 1 or period.start <= subscription.starts_at:
        return None
    period_before = current_period(subscription, as_of=period.start - timedelta.resolution)
    try:
        contract = contract_of(subscription, period)
        contract_before = contract_of(subscription, period_before)
    except (PlanHasNoVersion, NotQuotedInCurrency):
        return None
    if contract.currency != contract_before.currency:
        return None
    span, span_before = (_first_days(each, days, zone) for each in (period, period_before))
    used = _usage_in(subscription, contract, span)
    used_before = _usage_in(subscription, contract_before, span_before)
    now = _rated(subscription, contract, used)
    before = _rated(subscription, contract_before, used_before)
    return Comparison(
        span,
        span_before,
        period_before,
        now.total,
        before.total,
        _whole(subscription, contract_before),
        tuple(
            changes(
                _by_key(contract_before, before),
                _repriced(subscription, contract, used_before),
                _by_key(contract, now),
            )
        ),
    )


def _first_days(period: Period, days: int, zone: ZoneInfo) -> Period:
    """From its start to the local midnight so many days later, if that is inside."""
    local = period.start.astimezone(zone)
    midnight = datetime(local.year, local.month, local.day) + timedelta(days=days)  # noqa: DTZ001
    return Period(period.start, min(midnight.replace(tzinfo=zone), period.end))


def _usage_in(subscription: Subscription, contract: Contract, span: Period) -> _Usage:
    """As the contract is rated with, of what lies in the span alone."""
    spans = prices_by_span(contract)
    inside = {
        whole: Period(max(whole.start, span.start), min(whole.end, span.end))
        for whole in spans
        if whole.start < span.end and span.start < whole.end
    }
    wanted = [
        Wanted(subscription.customer_id, part, spans[whole]) for whole, part in inside.items()
    ]
    used: dict[Period, list[UsageQuantity]] = {whole: [] for whole in spans}
    return used | dict(zip(inside, billable_usage(wanted), strict=True))


def _rated(subscription: Subscription, contract: Contract, usage: _Usage) -> RatedInvoice:
    (time,) = time_of_contracts([(subscription, contract)])
    return rated_contract(contract, usage, time)


def _by_key(contract: Contract, rated: RatedInvoice) -> dict[ChargeKey, Charged]:
    return charged_by_key(rated.lines, codes_of(contract))


def _repriced(
    subscription: Subscription, contract: Contract, used: _Usage
) -> dict[ChargeKey, Charged]:
    """Earlier usage at the contract's prices; nothing where prices change within a period, since
    no part of one is the other's."""
    spans = list(prices_by_span(contract))
    if len(spans) != 1 or len(used) != 1:
        return {}
    (quantities,) = used.values()
    return _by_key(contract, _rated(subscription, contract, {spans[0]: quantities}))


def _whole(subscription: Subscription, contract: Contract) -> Decimal:
    """What a period came to: by its invoice, else by the usage that is known."""
    invoiced = (
        Invoice.objects.filter(
            subscription=subscription,
            kind=Invoice.Kind.INVOICE,
            period_start=contract.period.start,
        )
        .exclude(status=Invoice.Status.VOID)
        .values_list("total", flat=True)
        .first()
    )
    return rated_by(contract, subscription).total if invoiced is None else invoiced
