"""Per unit: every unit costs the same."""

from dataclasses import dataclass
from decimal import Decimal

from billing.core.prices.bounds import require_price
from billing.core.prices.stretch import Stretch, UnitSlice


@dataclass(frozen=True, slots=True)
class PerUnit:
    """Every unit costs the same."""

    unit_price: Decimal

    def __post_init__(self) -> None:
        require_price(self.unit_price, "a unit price")

    def charge(self, part: Stretch) -> tuple[UnitSlice, ...]:
        if part.start == part.end:
            return ()
        amount = part.charged(self.unit_price)
        return (UnitSlice(part.start, part.end, self.unit_price, amount),)
