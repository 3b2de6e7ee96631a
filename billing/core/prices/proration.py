"""A share of a billing period."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.core.exact import EXACT, quotient


class NotAShare(ValueError):
    """A share of a period lies between nothing and all of it."""


@dataclass(frozen=True, slots=True)
class Proration:
    """`numerator` of `denominator` parts of a period: seconds in use of the seconds it has, or
    local days. Raises NotAShare."""

    numerator: int = 1
    denominator: int = 1
    unit: str = "s"

    def __post_init__(self) -> None:
        if self.denominator < 1 or not 0 <= self.numerator <= self.denominator:
            raise NotAShare(f"{self.numerator} of {self.denominator}")

    @property
    def is_whole(self) -> bool:
        return self.numerator == self.denominator

    def of(self, amount: Decimal) -> Decimal:
        """That share of an amount: exact up to 30 decimals, half up."""
        if self.is_whole:
            return amount
        return quotient(EXACT.multiply(amount, Decimal(self.numerator)), self.denominator)


WHOLE: Final = Proration()
