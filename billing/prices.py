"""Stored prices as the rating core's values."""

from decimal import Decimal, InvalidOperation
from typing import Any, cast

from billing.core.prices import PriceModel
from billing.core.pricing import Graduated, PerUnit, Tier
from billing.core.rating import PriceSpec
from billing.core.readings import Aggregation, Reading
from billing.models import PlanVersion, Price

# More than any bound or price that the core takes can need.
_WRITTEN_MAX = 60
_TIER_KEYS = frozenset({"up_to", "unit_price", "flat_fee"})


class TierNotReadable(ValueError):
    """A stored tier is not {"up_to", "unit_price", "flat_fee"} with numbers written as text."""


def price_specs(plan_version: PlanVersion) -> tuple[PriceSpec, ...]:
    """The version's prices in their order on the invoice."""
    return tuple(price_spec(price) for price in plan_version.prices.order_by("position"))


def price_spec(price: Price) -> PriceSpec:
    """The price as it is rated.

    Raises TierNotReadable and whatever the core refuses a price with; all are ValueErrors but
    InexactNumber, which is a TypeError.
    """
    return PriceSpec(
        id=str(price.pk),
        reading=Reading(
            price.meter,
            cast(Aggregation, price.aggregation),
            accepts=frozenset(price.accepted_qualities),
        ),
        unit=price.unit,
        model=_model(price),
        # The field's default is an int until the row has been read back.
        allowance=Decimal(price.allowance) if price.allowance == 0 else price.allowance,
        label=price.label,
    )


def _model(price: Price) -> PriceModel:
    if price.kind == Price.Kind.PER_UNIT:
        if price.unit_price is None:
            raise ValueError("a price per unit needs its unit price")
        return PerUnit(price.unit_price)
    if not isinstance(price.tiers, list):
        raise TierNotReadable("tiers are a list")
    return Graduated(tuple(_tier(stored) for stored in price.tiers))


def _tier(stored: Any) -> Tier:
    if not isinstance(stored, dict) or not {"up_to", "unit_price"} <= stored.keys() <= _TIER_KEYS:
        raise TierNotReadable('a tier is {"up_to": …, "unit_price": …, "flat_fee": …}')
    return Tier(
        up_to=None if stored["up_to"] is None else _decimal(stored["up_to"]),
        unit_price=_decimal(stored["unit_price"]),
        flat_fee=_decimal(stored.get("flat_fee", "0")),
    )


def _decimal(written: Any) -> Decimal:
    # A JSON number with a fraction was a float once: 0.1 would already be another number.
    if isinstance(written, bool) or not isinstance(written, str | int):
        raise TierNotReadable(f'write numbers as text, like "0.05", not {str(written)[:40]}')
    if len(str(written)) > _WRITTEN_MAX:
        raise TierNotReadable(f"a number has at most {_WRITTEN_MAX} characters")
    try:
        return Decimal(written)
    except InvalidOperation as error:
        raise TierNotReadable(f"not a number: {str(written)[:40]!r}") from error
