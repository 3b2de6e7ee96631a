"""The charge for a period's quantity in plain integers, for a chart that asks for it at every
application and day.

It says what pricing.rate_part and money.round_lines say, which define it, without taking a charge
apart for a reader; tests hold the two against each other. Charges are counted in fines, 10^-30 of
the currency: as fine as pricing's one division.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.core.currencies import Currency
from billing.core.exact import EXACT, QUOTIENT_DECIMALS
from billing.core.pricing import BOUND_DECIMALS_MAX, PRICE_DECIMALS_MAX, PriceModel
from billing.core.quantity import unit_for
from billing.core.rating import PriceSpec

# A raw unit in grains, so that a bound or allowance of 12 decimals is a whole number of them.
_GRAINS: Final = 10**BOUND_DECIMALS_MAX
_FINES_OF_PRODUCT: Final = 10 ** (QUOTIENT_DECIMALS - BOUND_DECIMALS_MAX - PRICE_DECIMALS_MAX)


@dataclass(frozen=True, slots=True)
class _TierCurve:
    """Above `above_grains` and up to `up_to_grains`; the price in 10^-12 of the currency."""

    above_grains: int
    up_to_grains: int | None
    price: int
    flat_fee_fines: int


@dataclass(frozen=True, slots=True)
class ChargeCurve:
    """What a price charges from zero up to a raw quantity."""

    tiers: tuple[_TierCurve, ...]
    included_grains: int
    raw_per_unit: int

    def charge_up_to(self, raw: int) -> int:
        """In fines. The difference of two is what rate_part charges between them."""
        grains = raw * _GRAINS - self.included_grains
        fines = 0
        for tier in self.tiers:
            if grains <= tier.above_grains:
                break
            top = grains if tier.up_to_grains is None else min(grains, tier.up_to_grains)
            product = (top - tier.above_grains) * tier.price * _FINES_OF_PRODUCT
            fines += _half_up(product, self.raw_per_unit) + tier.flat_fee_fines
        return fines


def charge_curve_of(price: PriceSpec) -> ChargeCurve:
    return charge_curve(
        price.model, price.allowance, unit_for(price.meter, price.unit).raw_per_unit
    )


def charge_curve(model: PriceModel, allowance: Decimal, raw_per_unit: int) -> ChargeCurve:
    tiers = []
    above = 0
    for tier in model.tiers:
        up_to = None if tier.up_to is None else _whole(tier.up_to, BOUND_DECIMALS_MAX)
        up_to_grains = None if up_to is None else up_to * raw_per_unit
        price = _whole(tier.unit_price, PRICE_DECIMALS_MAX)
        tiers.append(
            _TierCurve(above, up_to_grains, price, _whole(tier.flat_fee, QUOTIENT_DECIMALS))
        )
        above = up_to_grains or above
    included = _whole(allowance, BOUND_DECIMALS_MAX) * raw_per_unit
    return ChargeCurve(tuple(tiers), included, raw_per_unit)


def round_fine_lines(fines: Sequence[int], currency: Currency) -> list[int]:
    """As money.round_lines, for lines of zero or more: from fines to minor units."""
    unit = _whole(currency.minor_unit, QUOTIENT_DECIMALS)
    parts = [divmod(fine, unit) for fine in fines]
    rounded = [floor for floor, _ in parts]
    missing = _half_up(sum(fines), unit) - sum(rounded)
    # A stable sort: of equal remainders the earlier line is served first.
    for index in sorted(range(len(parts)), key=lambda each: -parts[each][1])[:missing]:
        rounded[index] += 1
    return rounded


def _half_up(numerator: int, divisor: int) -> int:
    return (2 * numerator + divisor) // (2 * divisor)


def _whole(value: Decimal, decimals: int) -> int:
    """`value` in units of its last decimal; it has no more than `decimals`."""
    return int(EXACT.to_integral_exact(value.scaleb(decimals, EXACT)))
