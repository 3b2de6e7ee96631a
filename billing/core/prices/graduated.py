"""Graduated: each slice of the quantity costs its own tier's price."""

from dataclasses import dataclass
from decimal import Decimal

from billing.core.exact import EXACT, ZERO
from billing.core.prices.stretch import Stretch, TierSlice, charged_between
from billing.core.prices.tiers import Tier, require_tiers


@dataclass(frozen=True, slots=True)
class Graduated:
    """Each slice of the quantity costs its own tier's price, and its fee if it is entered.

    Raises TiersNotUsable.
    """

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        require_tiers(self.tiers)

    def charge(self, part: Stretch) -> tuple[TierSlice, ...]:
        slices = []
        above = ZERO
        for number, tier in enumerate(self.tiers, start=1):
            raw_from = _within(tier, above, part.start, part.raw_per_unit)
            raw_to = _within(tier, above, part.end, part.raw_per_unit)
            if raw_to > raw_from:
                slices.append(_slice(number, above, tier, (raw_from, raw_to), part.raw_per_unit))
            if tier.up_to is not None:
                above = tier.up_to
        return tuple(slices)


def _within(tier: Tier, above: Decimal, quantity: Decimal, raw_per_unit: int) -> Decimal:
    """How much of a cumulative raw `quantity` lies in the tier."""
    size = Decimal(raw_per_unit)
    if tier.up_to is not None:
        quantity = min(quantity, EXACT.multiply(tier.up_to, size))
    return max(EXACT.subtract(quantity, EXACT.multiply(above, size)), ZERO)


def _slice(
    number: int, above: Decimal, tier: Tier, raw: tuple[Decimal, Decimal], raw_per_unit: int
) -> TierSlice:
    return TierSlice(
        kind="graduated",
        number=number,
        above=above,
        up_to=tier.up_to,
        unit_price=tier.unit_price,
        raw_from=raw[0],
        raw_to=raw[1],
        usage_amount=charged_between(*raw, tier.unit_price, raw_per_unit),
        flat_fee=ZERO if raw[0] else tier.flat_fee,
    )
