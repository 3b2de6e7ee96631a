"""A period's charges day by day.

What a day cost is the charge for the period up to its end less the charge up to its start. So
the days sum, per application and in total, to exactly what the invoice says, although
allowances, tiers and rounding look at the period as a whole. A day's part can be below zero:
when an application earlier on the invoice moves the others into a cheaper tier.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from hostmeter_agent.wire import kind_of

from billing.core.currencies import Currency, currency_of
from billing.core.curve import charge_curve_of, round_fine_lines
from billing.core.exact import EXACT
from billing.core.rating import PriceSpec, UsageQuantity


@dataclass(frozen=True, slots=True)
class DayCharge:
    """What one application's usage of one local day added to the period's charge."""

    day: date
    application_id: str
    amount: Decimal


def charge_days(
    prices: Sequence[PriceSpec],
    usage_by_day: Mapping[date, Sequence[UsageQuantity]],
    currency: str,
) -> tuple[DayCharge, ...]:
    """Charges by day and application, in order; days and applications without usage are left out.

    Raises UnknownCurrency.
    """
    paid_in = currency_of(currency)
    running, minor_unit = _RunningCharge(prices, paid_in), paid_in.minor_unit
    charged: defaultdict[str, int] = defaultdict(int)
    days = []
    for day in sorted(usage_by_day):
        running.add(usage_by_day[day])
        amounts = running.amounts_by_application()
        for application_id, amount in amounts.items():
            added = EXACT.multiply(minor_unit, amount - charged[application_id])
            days.append(DayCharge(day, application_id, added))
        charged.update(amounts)
    return tuple(days)


def combined(meter: str, one: int, other: int) -> int:
    """Two times' usage of a meter as one: counters and integrals add up, maxima do not."""
    return max(one, other) if kind_of(meter) == "maximum" else one + other


class _RunningCharge:
    """The charge for everything added so far, in whole minor units."""

    def __init__(self, prices: Sequence[PriceSpec], currency: Currency) -> None:
        self._curves = [((price.meter, price.accepts), charge_curve_of(price)) for price in prices]
        self._currency = currency
        self._names: dict[str, str] = {}
        self._used: dict[tuple[tuple[str, frozenset[str]], str], int] = {}

    def add(self, usage: Sequence[UsageQuantity]) -> None:
        for used in usage:
            key = ((used.meter, used.accepts), used.application_id)
            self._names[used.application_id] = used.application_name
            self._used[key] = combined(used.meter, self._used.get(key, 0), used.quantity)

    def amounts_by_application(self) -> dict[str, int]:
        lines = list(self._lines())
        rounded = round_fine_lines([fine for _, fine in lines], self._currency)
        amounts: defaultdict[str, int] = defaultdict(int)
        for (application_id, _), amount in zip(lines, rounded, strict=True):
            amounts[application_id] += amount
        return dict(amounts)

    def _lines(self) -> Iterator[tuple[str, int]]:
        in_order = sorted(self._names, key=lambda each: (self._names[each], each))
        for kind, curve in self._curves:
            raw = charged = 0
            for application_id in in_order:
                used = self._used.get((kind, application_id), 0)
                if used:
                    raw += used
                    before, charged = charged, curve.charge_up_to(raw)
                    yield application_id, charged - before
