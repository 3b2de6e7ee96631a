"""Price models: from a quantity to an unrounded amount.

Quantities come in raw units, with how many of them make one unit of the price, so that the
only division is the last step. Callers that already count in the price's unit leave
`raw_per_unit` at 1.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final

from billing.core.exact import EXACT, ZERO, quotient, require_decimal
from billing.core.money import sum_amounts

PRICE_DECIMALS_MAX: Final = 12
PRICE_BELOW: Final = Decimal(10) ** 12
BOUND_DECIMALS_MAX: Final = 12
BOUND_BELOW: Final = Decimal(10) ** 18
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


@dataclass(frozen=True, slots=True)
class PerUnit:
    """Every unit costs the same."""

    unit_price: Decimal

    def __post_init__(self) -> None:
        require_price(self.unit_price, "a unit price")

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The one tier without a bound that this price amounts to."""
        return (Tier(None, self.unit_price),)


@dataclass(frozen=True, slots=True)
class Graduated:
    """Each slice of the quantity costs its own tier's price, and its fee if it is entered.

    Raises TiersNotUsable unless the bounds rise and the last tier, and only it, has none.
    """

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.tiers) <= TIERS_MAX:
            raise TiersNotUsable(f"a price has 1 to {TIERS_MAX} tiers, not {len(self.tiers)}")
        if self.tiers[-1].up_to is not None:
            raise TiersNotUsable("the last tier is bounded: what lies above it has no price")
        above = ZERO
        for tier in self.tiers[:-1]:
            if tier.up_to is None:
                raise TiersNotUsable("only the last tier may be without a bound")
            if tier.up_to <= above:
                raise TiersNotUsable(f"a tier up to {tier.up_to} cannot follow {above}")
            above = tier.up_to


PriceModel = PerUnit | Graduated


@dataclass(frozen=True, slots=True)
class TierSlice:
    """What one tier contributed. Raw positions count from the tier's lower bound."""

    number: int
    above: Decimal
    up_to: Decimal | None
    unit_price: Decimal
    raw_from: Decimal
    raw_to: Decimal
    usage_amount: Decimal
    flat_fee: Decimal

    @property
    def raw(self) -> Decimal:
        """The raw quantity that fell into the tier."""
        return EXACT.subtract(self.raw_to, self.raw_from)

    @property
    def amount(self) -> Decimal:
        """Usage and fee."""
        return EXACT.add(self.usage_amount, self.flat_fee)


@dataclass(frozen=True, slots=True)
class RatedAmount:
    """An unrounded amount and what it is made of; raw quantities are in the meter's unit."""

    raw_included_before: Decimal
    raw_included: Decimal
    raw_billable: Decimal
    slices: tuple[TierSlice, ...]
    unrounded: Decimal


def rate(
    model: PriceModel,
    quantity: Decimal,
    *,
    allowance: Decimal = ZERO,
    raw_per_unit: int = 1,
) -> RatedAmount:
    """The charge for a period's whole `quantity`; the first `allowance` units cost nothing.

    `quantity` is in raw units, `raw_per_unit` of which make one of the price's units, in which
    `allowance` and the tiers' bounds are stated.
    """
    return rate_part(model, ZERO, quantity, allowance=allowance, raw_per_unit=raw_per_unit)


def rate_part(
    model: PriceModel,
    start: Decimal,
    end: Decimal,
    *,
    allowance: Decimal = ZERO,
    raw_per_unit: int = 1,
) -> RatedAmount:
    """The charge for that part of a period's quantity that lies above `start` up to `end`.

    Allowance and tiers are cumulative: the charges of parts that follow each other sum, to the
    last digit, to the charge for the whole.
    """
    require_quantity_in_unit(allowance, "an allowance")
    with localcontext(EXACT):
        if not ZERO <= start <= end:
            raise ValueError(f"a part runs upwards from zero, not from {start} to {end}")
        included = allowance * raw_per_unit
        included_before, included_after = min(start, included), min(end, included)
        billable_from, billable_to = start - included_before, end - included_after
        slices = _slices(model, billable_from, billable_to, raw_per_unit)
        return RatedAmount(
            raw_included_before=included_before,
            raw_included=included_after - included_before,
            raw_billable=billable_to - billable_from,
            slices=slices,
            unrounded=sum_amounts([part.amount for part in slices]),
        )


def _slices(
    model: PriceModel, start: Decimal, end: Decimal, raw_per_unit: int
) -> tuple[TierSlice, ...]:
    slices = []
    above = ZERO
    for number, tier in enumerate(model.tiers, start=1):
        raw_from = _within(tier, above, start, raw_per_unit)
        raw_to = _within(tier, above, end, raw_per_unit)
        if raw_to > raw_from:
            slices.append(_slice(number, tier, above, raw_from, raw_to, raw_per_unit))
        if tier.up_to is not None:
            above = tier.up_to
    return tuple(slices)


def _within(tier: Tier, above: Decimal, quantity: Decimal, raw_per_unit: int) -> Decimal:
    """How much of a cumulative raw `quantity` lies in the tier."""
    reached = quantity if tier.up_to is None else min(quantity, tier.up_to * raw_per_unit)
    return max(reached - above * raw_per_unit, ZERO)


def _slice(
    number: int,
    tier: Tier,
    above: Decimal,
    raw_from: Decimal,
    raw_to: Decimal,
    raw_per_unit: int,
) -> TierSlice:
    # The difference of two quotients, not the quotient of the difference: so parts telescope.
    charged_to = quotient(raw_to * tier.unit_price, raw_per_unit)
    charged_from = quotient(raw_from * tier.unit_price, raw_per_unit)
    return TierSlice(
        number=number,
        above=above,
        up_to=tier.up_to,
        unit_price=tier.unit_price,
        raw_from=raw_from,
        raw_to=raw_to,
        usage_amount=charged_to - charged_from,
        flat_fee=tier.flat_fee if raw_from == 0 else ZERO,
    )


def require_price(price: Decimal, name: str) -> None:
    """Refuse a price that is negative, inexact or has more than 12 decimals."""
    require_decimal(price, name, decimals_max=PRICE_DECIMALS_MAX, below=PRICE_BELOW)


def require_quantity_in_unit(quantity: Decimal, name: str) -> None:
    """Refuse a bound or allowance that is negative, inexact or has more than 12 decimals."""
    require_decimal(quantity, name, decimals_max=BOUND_DECIMALS_MAX, below=BOUND_BELOW)
