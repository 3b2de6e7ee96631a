"""A period's charges day by day.

What a day cost is the charge for the period up to its end less the charge up to its start. So
the days sum, per application and in total, to exactly what the invoice says, although
allowances, tiers and rounding look at the period as a whole. A day's part can be below zero:
when an application earlier on the invoice moves the others into a cheaper tier.

Fees, minimums, discounts and what looks at the period's intervals (percentile, peak, unique) grow
with no day's usage: they stand on the last day.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from billing.core.currencies import Currency
from billing.core.curve import charge_curve_of, round_fine_lines
from billing.core.exact import EXACT, QUOTIENT_DECIMALS, ZERO
from billing.core.quantity import plus
from billing.core.rating import (
    PriceSpec,
    RatedInvoice,
    RatingInput,
    UsageQuantity,
    below_maximum,
    rated_amount,
)
from billing.core.readings import Reading

_GROWING: Final = ("sum", "integral", "maximum")


@dataclass(frozen=True, slots=True)
class DayCharge:
    """What one application's usage of one local day added to the period's charge; what is of no
    application has none."""

    day: date
    application_id: str | None
    amount: Decimal


def charge_days(
    prices: Sequence[PriceSpec],
    usage_by_day: Mapping[date, Sequence[UsageQuantity]],
    invoice: RatedInvoice,
    last_day: date,
) -> tuple[DayCharge, ...]:
    """The invoice's charges by day and application, in order; days and applications without any
    are left out. `usage_by_day` has no day after `last_day`."""
    running, minor_unit = _RunningCharge(prices, invoice.currency), invoice.currency.minor_unit
    charged: defaultdict[str | None, Decimal] = defaultdict(lambda: ZERO)
    days = []
    for day in sorted({*usage_by_day, last_day}):
        running.add(usage_by_day.get(day, ()))
        if day == last_day:
            amounts = _by_application(invoice)
        else:
            amounts = {
                application_id: EXACT.multiply(minor_unit, units)
                for application_id, units in running.minor_units().items()
            }
        for application_id in dict.fromkeys([*amounts, *charged]):
            amount = amounts.get(application_id, ZERO)
            added = EXACT.subtract(amount, charged[application_id])
            if added or day in usage_by_day:
                days.append(DayCharge(day, application_id, added))
            charged[application_id] = amount
    return tuple(days)


def _by_application(invoice: RatedInvoice) -> dict[str | None, Decimal]:
    amounts: dict[str | None, Decimal] = {}
    for line in invoice.lines:
        before = amounts.get(line.application_id, ZERO)
        amounts[line.application_id] = EXACT.add(before, line.amount)
    return amounts


def combined(reading: Reading, one: int | Decimal, other: int | Decimal) -> int | Decimal:
    """Two times' usage by a reading as one: counters and integrals add up, maxima do not."""
    return max(one, other) if reading.aggregation == "maximum" else plus(one, other)


class _RunningCharge:
    """The charge for everything added so far, in whole minor units."""

    def __init__(self, prices: Sequence[PriceSpec], currency: Currency) -> None:
        self._curves = [
            (price, price.reading, charge_curve_of(price))
            for price in prices
            if price.reading is not None and price.reading.aggregation in _GROWING
        ]
        self._currency = currency
        self._used: defaultdict[Reading, dict[_Key, UsageQuantity]] = defaultdict(dict)

    def add(self, usage: Sequence[UsageQuantity]) -> None:
        for used in usage:
            by_key = self._used[used.reading]
            key = (used.application_name, used.application_id or "", used.attributes)
            known = by_key.get(key)
            if known is not None:
                quantity = combined(used.reading, known.quantity, used.quantity)
                used = _of_quantity(known, quantity)  # noqa: PLW2901
            by_key[key] = used

    def minor_units(self) -> dict[str | None, int]:
        """By application."""
        lines = list(self._lines())
        rounded = round_fine_lines([fine for _, fine in lines], self._currency)
        amounts: defaultdict[str | None, int] = defaultdict(int)
        for (application_id, _), amount in zip(lines, rounded, strict=True):
            amounts[application_id] += amount
        return dict(amounts)

    def _lines(self) -> Iterator[tuple[str | None, int]]:
        for price, reading, curve in self._curves:
            by_key = self._used[reading]
            used = [by_key[key] for key in sorted(by_key) if by_key[key].quantity]
            if curve is None:
                fines = _defined_charges(price, used, self._currency)
            else:
                fines = curve.charges([each.quantity for each in used])
            for each, fine in zip(used, fines, strict=True):
                yield each.application_id, fine


# An application's name and id, and a matrix's cell: the order of lines.
_Key = tuple[str, str, tuple[tuple[str, str], ...]]


def _of_quantity(used: UsageQuantity, quantity: int | Decimal) -> UsageQuantity:
    return UsageQuantity(
        used.application_id, used.application_name, used.reading, quantity, used.attributes
    )


def _defined_charges(
    price: PriceSpec, usage: Sequence[UsageQuantity], currency: Currency
) -> list[int]:
    """In fines, as rating says it."""
    fines, before = [], ZERO
    for used in usage:
        amount = rated_amount(RatingInput(price, used, currency)).unrounded
        if price.maximum is not None:
            amount, before = below_maximum(price.maximum, before, amount), before + amount
        fines.append(int(amount.scaleb(QUOTIENT_DECIMALS, EXACT)))
    return fines
