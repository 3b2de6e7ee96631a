"""Percentage: a share of what other lines charge."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from billing.core.exact import EXACT, ZERO, quotient, require_decimal
from billing.core.money import sum_amounts
from billing.core.prices.bounds import require_price

# each: of every line by itself, after the allowance of each. total: of their sum, after one.
AppliesTo = Literal["each", "total"]

APPLIES_TO: Final = ("each", "total")
PERCENT_DECIMALS_MAX: Final = 8
PERCENT_BELOW: Final = Decimal(1_001)
CODES_MAX: Final = 100


class PercentageNotUsable(ValueError):
    """A percentage names no price, or does not say what it applies to."""


@dataclass(frozen=True, slots=True)
class Percentage:
    """`percent` of the unrounded amounts of the prices with these codes, as far as they come above
    `allowance`, which is money. Raises PercentageNotUsable."""

    percent: Decimal
    of: tuple[str, ...]
    applies_to: AppliesTo = "total"
    allowance: Decimal = ZERO

    def __post_init__(self) -> None:
        require_decimal(
            self.percent, "a percentage", decimals_max=PERCENT_DECIMALS_MAX, below=PERCENT_BELOW
        )
        require_price(self.allowance, "a percentage's allowance")
        if not 1 <= len(self.of) <= CODES_MAX or len(set(self.of)) < len(self.of):
            raise PercentageNotUsable("a percentage names the codes of its prices, each once")
        if self.applies_to not in APPLIES_TO:
            raise PercentageNotUsable(
                f"a percentage applies to each line or to their total, not {self.applies_to!r}"
            )

    def bases(self, amounts: Sequence[Decimal]) -> list[Decimal]:
        """What is taken the percentage of, above the allowance: of each amount, or of the one
        total."""
        of = amounts if self.applies_to == "each" else [sum_amounts(amounts)]
        return [max(EXACT.subtract(amount, self.allowance), ZERO) for amount in of]

    def charge(self, base: Decimal) -> Decimal:
        """The percentage of a base: exact up to 30 decimals, half up."""
        return quotient(EXACT.multiply(base, self.percent), 100)
