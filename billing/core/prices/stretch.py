"""The part of a period's quantity that one line charges, and what became of it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from billing.core.exact import EXACT, ZERO, quotient


@dataclass(slots=True)
class Stretch:
    """From `start` to `end` of the period's billable raw quantity, after the allowance.

    `whole` is where the last line of the invoice ends, and `billed` where the period's earlier
    invoices ended: 0 unless a period is billed in parts. `raw_per_unit` raw units make one of the
    price's.
    """

    start: Decimal
    end: Decimal
    whole: Decimal
    billed: Decimal
    raw_per_unit: int

    def charged(self, unit_price: Decimal) -> Decimal:
        """The stretch at a price per unit. Stretches that follow each other sum, to the last
        digit, to what one would cost that holds them all."""
        return charged_between(self.start, self.end, unit_price, self.raw_per_unit)


def charged_between(
    start: Decimal, end: Decimal, unit_price: Decimal, raw_per_unit: int
) -> Decimal:
    # The difference of two quotients, not the quotient of the difference: so parts telescope.
    to_end = quotient(EXACT.multiply(end, unit_price), raw_per_unit)
    if not start:
        return to_end
    return EXACT.subtract(to_end, quotient(EXACT.multiply(start, unit_price), raw_per_unit))


@dataclass(slots=True)
class UnitSlice:
    """A quantity at one price per unit."""

    raw_from: Decimal
    raw_to: Decimal
    unit_price: Decimal
    amount: Decimal

    @property
    def raw(self) -> Decimal:
        return EXACT.subtract(self.raw_to, self.raw_from)


@dataclass(frozen=True, slots=True)
class TierSlice:
    """What one tier contributed. Raw positions count from the tier's lower bound, of a volume price
    from zero. `repriced` is what the quantity of the period's earlier invoices costs more or less
    since the whole has come into another tier."""

    kind: Literal["graduated", "volume"]
    number: int
    above: Decimal
    up_to: Decimal | None
    unit_price: Decimal
    raw_from: Decimal
    raw_to: Decimal
    usage_amount: Decimal
    flat_fee: Decimal
    repriced: Decimal = ZERO

    @property
    def raw(self) -> Decimal:
        """The raw quantity that fell into the tier."""
        return EXACT.subtract(self.raw_to, self.raw_from)

    @property
    def amount(self) -> Decimal:
        """Usage and fee."""
        amount = EXACT.add(self.usage_amount, self.flat_fee) if self.flat_fee else self.usage_amount
        return EXACT.add(amount, self.repriced) if self.repriced else amount


@dataclass(frozen=True, slots=True)
class PackageSlice:
    """Whole packages: `packages_before` were begun before the stretch, `packages` begin in it."""

    raw_from: Decimal
    raw_to: Decimal
    size: Decimal
    packages_before: int
    packages: int
    unit_price: Decimal
    amount: Decimal

    @property
    def raw(self) -> Decimal:
        return EXACT.subtract(self.raw_to, self.raw_from)


Slice = UnitSlice | TierSlice | PackageSlice
