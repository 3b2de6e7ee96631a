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
    return price_spec(own, version)
