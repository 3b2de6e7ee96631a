"""Tiers: which of them a quantity is in."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.core.exact import ZERO
from billing.core.prices.bounds import require_price, require_quantity_in_unit

TIERS_MAX: Final = 100


class TiersNotUsable(ValueError):
    """The tiers leave a quantity without a price, or with two."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Quantities above the bound of the tier before, up to and including `up_to`.

    `unit_price` is charged for each unit in the tier, `flat_fee` once if any quantity reaches
    it. `up_to` None: no bound.
    """

    up_to: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal = ZERO

    def __post_init__(self) -> None:
        require_price(self.unit_price, "a unit price")
        require_price(self.flat_fee, "a flat fee")
        if self.up_to is not None:
            require_quantity_in_unit(self.up_to, "a tier's bound")


def require_tiers(tiers: tuple[Tier, ...]) -> None:
    """Raises TiersNotUsable unless the bounds rise and the last tier, and only it, has none."""
    if not 1 <= len(tiers) <= TIERS_MAX:
        raise TiersNotUsable(f"a price has 1 to {TIERS_MAX} tiers, not {len(tiers)}")
    if tiers[-1].up_to is not None:
        raise TiersNotUsable("the last tier is bounded: what lies above it has no price")
    above = ZERO
    for tier in tiers[:-1]:
        if tier.up_to is None:
            raise TiersNotUsable("only the last tier may be without a bound")
        if tier.up_to <= above:
            raise TiersNotUsable(f"a tier up to {tier.up_to} cannot follow {above}")
        above = tier.up_to
