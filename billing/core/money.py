"""Money, and the only place that rounds it."""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Final

from billing.core.currencies import Currency
from billing.core.exact import EXACT, ZERO, require_decimal, rounded

# Larger than any invoice, and small enough that no sum of them ever loses a digit.
AMOUNT_BELOW: Final = Decimal(10) ** 50
AMOUNT_DECIMALS_MAX: Final = 42


def require_amount(amount: Decimal) -> None:
    """Refuse what is not an exact, finite amount. Raises InexactNumber, NumberOutOfBounds."""
    require_decimal(
        amount,
        "an amount",
        decimals_max=AMOUNT_DECIMALS_MAX,
        below=AMOUNT_BELOW,
        negative=True,
    )


def round_amount(amount: Decimal, currency: Currency) -> Decimal:
    """The one rounding rule: half up, away from zero, to the currency's decimals."""
    require_amount(amount)
    return rounded(amount, currency.minor_unit)


def sum_amounts(amounts: Sequence[Decimal]) -> Decimal:
    """The exact sum, independent of order."""
    with localcontext(EXACT):
        return sum(amounts, ZERO)


def round_lines(amounts: Sequence[Decimal], currency: Currency) -> tuple[Decimal, ...]:
    """Round lines so that they sum to the rounded total, by largest remainder.

    Each line is rounded down to the minor unit (towards minus infinity); the minor units still
    missing from the rounded total go one each to the lines with the largest remainders; of
    equal remainders the earlier line is served first. So a line is always less than one minor
    unit off, and a line that needs no rounding is never changed.
    """
    for amount in amounts:
        require_amount(amount)
    unit = currency.minor_unit
    total = round_amount(sum_amounts(amounts), currency)
    with localcontext(EXACT):
        floors = [round_down(amount, currency) for amount in amounts]
        remainders = [amount - floor for amount, floor in zip(amounts, floors, strict=True)]
        missing = int((total - sum(floors, ZERO)) / unit)
        ranked = sorted(range(len(amounts)), key=lambda index: (-remainders[index], index))
        raised = frozenset(ranked[:missing])
        return tuple(
            floor + unit if index in raised else floor for index, floor in enumerate(floors)
        )


def round_down(amount: Decimal, currency: Currency) -> Decimal:
    """The largest payable amount that is not above `amount`: what largest remainder starts at."""
    units = EXACT.divide(amount, currency.minor_unit)
    return EXACT.multiply(units.to_integral_value(rounding=ROUND_FLOOR), currency.minor_unit)
