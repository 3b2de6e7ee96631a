"""A period's invoice day by day, where more than one price holds in it.

Each part of the period is taken apart for itself, as billing.core.daily says; what the parts do not
show, such as fees, discounts and how the whole invoice was rounded, stands on the last day.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from billing.core.charges import rate_usage
from billing.core.contract import Contract, UsageBySpan, priced_spans
from billing.core.daily import DayCharge, charge_days
from billing.core.exact import EXACT, ZERO
from billing.core.periods import Period
from billing.core.prices import Percentage
from billing.core.rating import PriceSpec, RatedInvoice, UsageQuantity

UsageByDay = Mapping[date, Sequence[UsageQuantity]]


def contract_days(
    contract: Contract,
    by_day: Mapping[Period, UsageByDay],
    usage: UsageBySpan,
    invoice: RatedInvoice,
    last_day: date,
) -> tuple[DayCharge, ...]:
    """The invoice's charges by day and application, in order; they sum to it."""
    parts = _prices_by_span(contract)
    if len(parts) == 1 and not contract.terms[0].trial:
        ((span, prices),) = parts.items()
        return charge_days(prices, by_day.get(span, {}), invoice, last_day)
    charged: defaultdict[tuple[date, str | None], Decimal] = defaultdict(lambda: ZERO)
    for span, prices in parts.items():
        days = by_day.get(span, {})
        if not days:
            continue
        rated = rate_usage(prices, usage.get(span, ()), contract.currency.code)
        for day in charge_days(prices, days, rated, max(days)):
            key = (day.day, day.application_id)
            charged[key] = EXACT.add(charged[key], day.amount)
    _settle(charged, invoice, last_day)
    return tuple(
        DayCharge(day, application_id, amount)
        for (day, application_id), amount in sorted(
            charged.items(), key=lambda each: (each[0][0], each[0][1] or "")
        )
        if amount
    )


def _prices_by_span(contract: Contract) -> dict[Period, list[PriceSpec]]:
    """The metered prices by the part of the period in which they hold; a trial charges none."""
    parts: dict[Period, list[PriceSpec]] = {}
    for each in priced_spans(contract):
        if not each.trial and not isinstance(each.full.model, Percentage):
            parts.setdefault(each.span, []).append(each.price)
    return parts


def _settle(
    charged: "defaultdict[tuple[date, str | None], Decimal]", invoice: RatedInvoice, last_day: date
) -> None:
    """Put what the days lack to the invoice, for each application, on the last one."""
    lacking: defaultdict[str | None, Decimal] = defaultdict(lambda: ZERO)
    for line in invoice.lines:
        lacking[line.application_id] = EXACT.add(lacking[line.application_id], line.amount)
    for (_, application_id), amount in charged.items():
        lacking[application_id] = EXACT.subtract(lacking[application_id], amount)
    for application_id, amount in lacking.items():
        key = (last_day, application_id)
        charged[key] = EXACT.add(charged[key], amount)
