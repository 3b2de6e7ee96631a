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
from billing.core.exact import EXACT, ZERO
from billing.core.money import round_lines
from billing.core.pricing import rate_part
from billing.core.quantity import unit_for
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
    running = _RunningCharge(prices, currency_of(currency))
    charged: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    days = []
    for day in sorted(usage_by_day):
        running.add(usage_by_day[day])
        amounts = running.amounts_by_application()
        for application_id, amount in amounts.items():
            days.append(
                DayCharge(day, application_id, EXACT.subtract(amount, charged[application_id]))
            )
        charged.update(amounts)
    return tuple(days)


def combined(meter: str, one: int, other: int) -> int:
    """Two times' usage of a meter as one: counters and integrals add up, maxima do not."""
    return max(one, other) if kind_of(meter) == "maximum" else one + other


class _RunningCharge:
    """The charge for everything added so far; lines that did not change are not rated again."""

    def __init__(self, prices: Sequence[PriceSpec], currency: Currency) -> None:
        self._prices = prices
        self._currency = currency
        self._names: dict[str, str] = {}
        self._used: dict[tuple[str, str], int] = {}
        self._rated: dict[tuple[str, str], tuple[int, int, Decimal]] = {}

    def add(self, usage: Sequence[UsageQuantity]) -> None:
        for used in usage:
            key = (used.meter, used.application_id)
            self._names[used.application_id] = used.application_name
            self._used[key] = combined(used.meter, self._used.get(key, 0), used.quantity)

    def amounts_by_application(self) -> dict[str, Decimal]:
        lines = list(self._lines())
        rounded = round_lines([unrounded for _, unrounded in lines], self._currency)
        amounts: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
        for (application_id, _), amount in zip(lines, rounded, strict=True):
            amounts[application_id] = EXACT.add(amounts[application_id], amount)
        return dict(amounts)

    def _lines(self) -> Iterator[tuple[str, Decimal]]:
        in_order = sorted(self._names, key=lambda each: (self._names[each], each))
        for price in self._prices:
            before = 0
            for application_id in in_order:
                raw = self._used.get((price.meter, application_id), 0)
                if raw:
                    yield application_id, self._unrounded(price, application_id, before, raw)
                before += raw

    def _unrounded(self, price: PriceSpec, application_id: str, before: int, raw: int) -> Decimal:
        key = (price.id, application_id)
        known = self._rated.get(key)
        if known is not None and known[:2] == (before, raw):
            return known[2]
        unrounded = rate_part(
            price.model,
            Decimal(before),
            Decimal(before + raw),
            allowance=price.allowance,
            raw_per_unit=unit_for(price.meter, price.unit).raw_per_unit,
        ).unrounded
        self._rated[key] = (before, raw, unrounded)
        return unrounded
