"""A customer's own prices: a plan's price with what differs from it."""

from copy import copy
from typing import Any, Final

from django.core.exceptions import ValidationError

from billing.core.rating import PriceSpec
from billing.models import PlanVersion, Price
from billing.prices import price_spec

# What a customer's own price can say for itself; all else is the plan's.
OVERRIDABLE: Final = (
    "kind",
    "unit_price",
    "tiers",
    "definition",
    "allowance",
    "rollover_periods",
    "minimum",
    "maximum",
)

_FIELDS: Final = {field.name: field for field in Price._meta.concrete_fields}


class OverrideNotUsable(ValueError):
    """A customer's own price says what no price can, or what is the plan's to say."""


def overridden_spec(price: Price, version: PlanVersion, definition: Any) -> PriceSpec:
    """The version's price as the definition changes it.

    Raises OverrideNotUsable and whatever billing.prices.price_spec refuses a price with.
    """
    if not isinstance(definition, dict) or not definition:
        raise OverrideNotUsable('say what differs, like {"unit_price": "0.03"}')
    return price_spec(_own_price(price, definition), version)


def require_effect(price: Price, definition: dict[str, Any]) -> None:
    """Refuse what rating would pass over: tiers, or a unit price, where the kind that the price has
    then looks at neither; and a minimum above the maximum. Raises OverrideNotUsable.

    Asked when the price is granted alone, so that one from before can still be rated.
    """
    own = _own_price(price, definition)
    kind = own.get_kind_display()
    if definition.get("tiers") and own.kind not in Price.TIERED:
        raise OverrideNotUsable(
            f"a price of the kind {kind} has no tiers, so these would do nothing; "
            'leave them out, or say "kind": "graduated" or "volume" with them'
        )
    if definition.get("unit_price") is not None and own.kind not in Price.WITH_UNIT_PRICE:
        where = "tiers" if own.kind in Price.TIERED else "definition"
        raise OverrideNotUsable(
            f"a price of the kind {kind} has its prices in its {where}, so a unit_price would do "
            'nothing; leave it out, or say "kind": "per_unit" with it'
        )
    if own.minimum is not None and own.maximum is not None and own.minimum > own.maximum:
        raise OverrideNotUsable("the minimum is above the maximum")


def _own_price(price: Price, definition: dict[str, Any]) -> Price:
    own = copy(price)
    for name, value in definition.items():
        if name not in OVERRIDABLE:
            raise OverrideNotUsable(
                f"{str(name)[:40]!r} is the plan's; these can differ: {', '.join(OVERRIDABLE)}"
            )
        if isinstance(value, float | bool):
            raise OverrideNotUsable(f'write numbers as text, like "0.05", not {value}')
        try:
            setattr(own, name, _FIELDS[name].to_python(value))
        except ValidationError as error:
            raise OverrideNotUsable(f"{name}: {error.messages[0]}") from error
    return own
