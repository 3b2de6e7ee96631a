"""Package: units are sold in whole packages; one that is begun is charged."""

from dataclasses import dataclass
from decimal import Decimal

from billing.core.exact import EXACT, NumberOutOfBounds
from billing.core.prices.bounds import require_price, require_quantity_in_unit
from billing.core.prices.stretch import PackageSlice, Stretch


@dataclass(frozen=True, slots=True)
class Package:
    """`unit_price` for each package of `size` units that is begun, after the allowance.

    Raises NumberOutOfBounds for a size of nothing.
    """

    size: Decimal
    unit_price: Decimal

    def __post_init__(self) -> None:
        require_quantity_in_unit(self.size, "a package's size")
        if not self.size:
            raise NumberOutOfBounds("a package holds more than 0 units")
        require_price(self.unit_price, "a package's price")

    def charge(self, part: Stretch) -> tuple[PackageSlice, ...]:
        if part.start == part.end:
            return ()
        before = self._begun(part.start, part.raw_per_unit)
        packages = self._begun(part.end, part.raw_per_unit) - before
        amount = EXACT.multiply(Decimal(packages), self.unit_price)
        return (
            PackageSlice(
                part.start, part.end, self.size, before, packages, self.unit_price, amount
            ),
        )

    def _begun(self, quantity: Decimal, raw_per_unit: int) -> int:
        """How many packages a raw quantity needs: rounded up."""
        whole, rest = EXACT.divmod(quantity, EXACT.multiply(self.size, Decimal(raw_per_unit)))
        return int(whole) + (1 if rest else 0)
