"""What a price charges in plain integers, for a chart that asks for it at every application and
day.

It says what pricing.rate_stretch and money.round_lines say, which define it, without taking a
charge apart for a reader; tests hold the two against each other. Charges are counted in fines,
10^-30 of the currency: as fine as pricing's one division.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.core.currencies import Currency
from billing.core.exact import EXACT, QUOTIENT_DECIMALS
from billing.core.prices import CumulativeModel, Graduated, Package, PerUnit, Volume
from billing.core.prices.bounds import BOUND_DECIMALS_MAX, PRICE_DECIMALS_MAX
from billing.core.quantity import unit_of
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
class _TiersCurve:
    """Per unit and graduated."""

    tiers: tuple[_TierCurve, ...]
    raw_per_unit: int

    def charges(self, ends: Sequence[int]) -> list[int]:
        charges, before = [], 0
        for end in ends:
            charged = self._up_to(end)
            charges.append(charged - before)
            before = charged
        return charges

    def _up_to(self, grains: int) -> int:
        fines = 0
        for tier in self.tiers:
            if grains <= tier.above_grains:
                break
            top = grains if tier.up_to_grains is None else min(grains, tier.up_to_grains)
            product = (top - tier.above_grains) * tier.price * _FINES_OF_PRODUCT
            fines += _half_up(product, self.raw_per_unit) + tier.flat_fee_fines
        return fines


@dataclass(frozen=True, slots=True)
class _VolumeCurve:
    tiers: tuple[_TierCurve, ...]
    raw_per_unit: int

    def charges(self, ends: Sequence[int]) -> list[int]:
        charges, before = [], 0
        whole = ends[-1] if ends else 0
        tier = next(
            each for each in self.tiers if each.up_to_grains is None or whole <= each.up_to_grains
        )
        fee = tier.flat_fee_fines
        for end in ends:
            charged = _half_up(end * tier.price * _FINES_OF_PRODUCT, self.raw_per_unit)
            fee_here = fee if end else 0
            charges.append(charged - before + fee_here)
            before, fee = charged, fee - fee_here
        return charges


@dataclass(frozen=True, slots=True)
class _PackageCurve:
    size_grains: int
    price_fines: int

    def charges(self, ends: Sequence[int]) -> list[int]:
        charges, before = [], 0
        for end in ends:
            begun = -(-end // self.size_grains)
            charges.append((begun - before) * self.price_fines)
            before = begun
        return charges


@dataclass(frozen=True, slots=True)
class ChargeCurve:
    """What a price charges the lines of its applications."""

    model: _TiersCurve | _VolumeCurve | _PackageCurve
    included_grains: int
    maximum_fines: int | None = None

    def charges(self, raws: Sequence[int | Decimal]) -> list[int]:
        """In fines, for the raw quantities of lines that follow each other."""
        ends, total = [], -self.included_grains
        for raw in raws:
            total += raw * _GRAINS if isinstance(raw, int) else int(raw.scaleb(12, EXACT))
            ends.append(max(total, 0))
        charges = self.model.charges(ends)
        return charges if self.maximum_fines is None else _below(self.maximum_fines, charges)


def _below(maximum: int, charges: Sequence[int]) -> list[int]:
    capped, before = [], 0
    for charge in charges:
        capped.append(min(maximum, before + charge) - min(maximum, before))
        before += charge
    return capped


def charge_curve_of(price: PriceSpec) -> ChargeCurve | None:
    """The curve of a price whose lines follow from quantities alone; None for a matrix, a fee or a
    percentage."""
    if price.reading is None or not isinstance(price.model, CumulativeModel):
        return None
    raw_per_unit = unit_of(price.reading, price.unit).raw_per_unit
    return charge_curve(price.model, price.allowance, raw_per_unit, price.maximum)


def charge_curve(
    model: CumulativeModel,
    allowance: Decimal,
    raw_per_unit: int,
    maximum: Decimal | None = None,
) -> ChargeCurve:
    return ChargeCurve(
        _model_curve(model, raw_per_unit),
        _whole(allowance, BOUND_DECIMALS_MAX) * raw_per_unit,
        None if maximum is None else _whole(maximum, QUOTIENT_DECIMALS),
    )


def _model_curve(
    model: CumulativeModel, raw_per_unit: int
) -> _TiersCurve | _VolumeCurve | _PackageCurve:
    match model:
        case Package():
            return _PackageCurve(
                _whole(model.size, BOUND_DECIMALS_MAX) * raw_per_unit,
                _whole(model.unit_price, QUOTIENT_DECIMALS),
            )
        case PerUnit():
            price = _whole(model.unit_price, PRICE_DECIMALS_MAX)
            return _TiersCurve((_TierCurve(0, None, price, 0),), raw_per_unit)
        case Volume():
            return _VolumeCurve(_tier_curves(model, raw_per_unit), raw_per_unit)
        case Graduated():
            return _TiersCurve(_tier_curves(model, raw_per_unit), raw_per_unit)


def _tier_curves(model: Graduated | Volume, raw_per_unit: int) -> tuple[_TierCurve, ...]:
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
    return tuple(tiers)


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
