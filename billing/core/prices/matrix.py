"""Matrix: the price per unit follows from what the usage is of: role, region, host class …"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.core.prices.bounds import require_price
from billing.core.prices.per_unit import PerUnit
from billing.core.readings import MATRIX_ATTRIBUTES

ANY: Final = "*"
ROWS_MAX: Final = 1_000
VALUE_LENGTH_MAX: Final = 200


class MatrixNotUsable(ValueError):
    """A matrix has no rows or attributes, or rows that do not follow them."""


class NoRowFits(ValueError):
    """The matrix has no price for usage with these attributes, and no default."""


@dataclass(frozen=True, slots=True)
class Row:
    """A price for usage whose attributes have these values, in the matrix's order; "*" is any."""

    values: tuple[str, ...]
    unit_price: Decimal

    def __post_init__(self) -> None:
        require_price(self.unit_price, "a row's unit price")
        if any(not value or len(value) > VALUE_LENGTH_MAX for value in self.values):
            raise MatrixNotUsable(f"a row's value has 1 to {VALUE_LENGTH_MAX} characters")

    def fits(self, values: tuple[str, ...]) -> bool:
        return all(own in (ANY, value) for own, value in zip(self.values, values, strict=True))


@dataclass(frozen=True, slots=True)
class Matrix:
    """The first row that fits the usage's attributes prices it, else the default.

    `by` are of MATRIX_ATTRIBUTES. Raises MatrixNotUsable.
    """

    by: tuple[str, ...]
    rows: tuple[Row, ...]
    default: Decimal | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.by if name not in MATRIX_ATTRIBUTES]
        if unknown or not self.by or len(set(self.by)) < len(self.by):
            raise MatrixNotUsable(
                f"a matrix tells apart some of {', '.join(MATRIX_ATTRIBUTES)}, each once"
            )
        if not 1 <= len(self.rows) <= ROWS_MAX:
            raise MatrixNotUsable(f"a matrix has 1 to {ROWS_MAX} rows, not {len(self.rows)}")
        seen = set()
        for row in self.rows:
            if len(row.values) != len(self.by):
                raise MatrixNotUsable(f"a row has a value for each of {', '.join(self.by)}")
            if row.values in seen:
                raise MatrixNotUsable(f"two rows are for {', '.join(row.values)}")
            seen.add(row.values)
        if self.default is not None:
            require_price(self.default, "the default unit price")

    def row_for(self, attributes: tuple[tuple[str, str], ...]) -> Row | None:
        """The first row that fits usage with these attributes; None leaves it to the default."""
        known = dict(attributes)
        values = tuple(known.get(name, "") for name in self.by)
        return next((row for row in self.rows if row.fits(values)), None)

    def per_unit(self, attributes: tuple[tuple[str, str], ...]) -> PerUnit:
        """The price per unit of usage with these attributes. Raises NoRowFits."""
        row = self.row_for(attributes)
        if row is not None:
            return PerUnit(row.unit_price)
        if self.default is None:
            known = dict(attributes)
            named = ", ".join(f"{name} {known.get(name) or 'none'}" for name in self.by)
            raise NoRowFits(f"the matrix has no price for {named}, and no default")
        return PerUnit(self.default)
