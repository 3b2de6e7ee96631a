"""Prices of plan versions, as they are asked for and as they are shown."""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from billing.api.fields import CurrencyCode, DecimalText, Exact
from billing.core.allowance import ROLLOVER_PERIODS_MAX
from billing.core.exact import InexactNumber
from billing.core.quantity import aggregation_of
from billing.models import PlanVersion, Price
from billing.prices import price_spec
from tenants.api.errors import unprocessable
from tenants.api.fields import PRINTABLE, Given, Name, Taken, example, one_of

_CODE: Final = "[a-z0-9][a-z0-9._-]*"
UnitPrice = Annotated[Decimal, DecimalText(12, 12)]
Quantity = Annotated[Decimal, DecimalText(18, 12)]
Quality = Literal["exact", "sampled", "lower_bound", "estimated"]


class TierIn(Taken):
    """Units above the bound of the tier before, up to and including `up_to`; null: no bound."""

    up_to: Quantity | None
    unit_price: UnitPrice
    flat_fee: UnitPrice = Decimal(0)


class PriceIn(Taken):
    """What one meter, a period or a share of other prices costs; docs/pricing.md says how.

    A graduated or a volume price has `tiers`; per unit, per package and a flat fee have a
    `unit_price`. `definition` holds what its kind has beside them: {"size": "100"} of a package;
    {"timing", "prorated", "interval"} of a flat fee; {"percent", "of", "applies_to", "allowance"}
    of a percentage; {"by", "rows": [{"values", "unit_price"}], "default"} of a matrix. A flat fee
    and a percentage count no meter and have no unit. Left empty, `aggregation` is the meter's usual
    one, `code` is made from the label and `currency` is the plan's.
    """

    model_config = example(
        {
            "label": "Traffic",
            "meter": "network.sent",
            "unit": "Mbit/s",
            "aggregation": "percentile",
            "percentile": "95",
            "unit_price": "3",
        }
    )

    label: Name
    code: Annotated[str, StringConstraints(max_length=40, pattern=f"^({_CODE})?$")] = ""
    meter: Annotated[str, StringConstraints(max_length=64, pattern="^[a-z0-9._]*$")] = ""
    aggregation: Literal["sum", "integral", "maximum", "percentile", "peak", "unique"] | None = None
    unit: Annotated[str, StringConstraints(max_length=20, pattern=PRINTABLE)] = ""
    kind: Literal["per_unit", "graduated", "volume", "package", "matrix", "flat", "percentage"] = (
        "per_unit"
    )
    currency: CurrencyCode | Literal[""] = ""
    interval_minutes: Annotated[int, Field(ge=5, le=1440)] = 5
    percentile: Annotated[Decimal, DecimalText(3, 4)] = Decimal(95)
    over: Literal["application", "customer"] = "application"
    distinct: Annotated[str, StringConstraints(max_length=64, pattern=PRINTABLE)] = ""
    allowance: Quantity = Decimal(0)
    rollover_periods: Annotated[int, Field(ge=0, le=ROLLOVER_PERIODS_MAX)] = 0
    unit_price: UnitPrice | None = None
    tiers: Annotated[list[TierIn], Field(max_length=100)] = []
    definition: dict[str, Any] = {}
    minimum: UnitPrice | None = None
    maximum: UnitPrice | None = None
    accepted_qualities: Annotated[list[Quality], Field(min_length=1, max_length=4)] = [
        "exact",
        "sampled",
    ]
    product_class: Annotated[
        str, StringConstraints(min_length=1, max_length=40, pattern=PRINTABLE)
    ] = "hosting"


class TierOut(Given):
    up_to: str | None
    unit_price: str
    flat_fee: str


class PriceOut(Given):
    """As it was asked for; `position` is its place on the invoice."""

    id: UUID
    position: int
    code: str
    label: str
    meter: str
    aggregation: Annotated[str, one_of(Price.Aggregation, "")]
    unit: str
    kind: Annotated[str, one_of(Price.Kind)]
    currency: str
    interval_minutes: int
    percentile: Exact
    over: Annotated[str, one_of(Price.Over)]
    distinct: str
    allowance: Exact
    rollover_periods: int
    unit_price: Exact | None
    tiers: list[TierOut]
    definition: dict[str, Any]
    minimum: Exact | None
    maximum: Exact | None
    accepted_qualities: list[Annotated[str, one_of(Price.Quality)]]
    product_class: str


def unsaved_price(price: PriceIn, version: PlanVersion, field: str) -> Price:
    """The price as it would be stored. Raises Problem 422 of the field."""
    fields: dict[str, Any] = {
        name: getattr(price, name) for name in PriceIn.model_fields if name != "tiers"
    }
    made = Price(**fields, tiers=[tier.model_dump(mode="json") for tier in price.tiers])
    try:
        _require_kind(price)
        made.aggregation = price.aggregation or (aggregation_of(price.meter) if price.meter else "")
        price_spec(made, version)
    except (ValueError, InexactNumber) as refusal:
        raise unprocessable((field, str(refusal))) from refusal
    return made


def _require_kind(price: PriceIn) -> None:
    """What the database holds of every price; raises ValueError."""
    if (price.kind in Price.WITH_UNIT_PRICE) is (price.unit_price is None):
        raise ValueError(
            "per unit, per package and flat have a unit_price, and no other kind has one"
        )
    if price.tiers and price.kind not in Price.TIERED:
        raise ValueError("only a graduated and a volume price have tiers")
    if price.kind in Price.UNMETERED and (price.meter or price.unit or price.aggregation):
        raise ValueError("a flat fee or a percentage counts no meter and has no unit")
    if price.kind not in Price.UNMETERED and not price.meter:
        raise ValueError("a price for usage says which meter it counts")
    low, high = price.minimum, price.maximum
    if low is not None and high is not None and low > high:
        raise ValueError("the minimum is above the maximum")


def shown_price(price: Price) -> PriceOut:
    fields = {name: getattr(price, name) for name in PriceOut.model_fields if name != "tiers"}
    return PriceOut(**fields, tiers=[_tier(stored) for stored in price.tiers])


def _tier(stored: dict[str, Any]) -> TierOut:
    up_to = stored["up_to"]
    return TierOut(
        up_to=None if up_to is None else str(up_to),
        unit_price=str(stored["unit_price"]),
        flat_fee=str(stored.get("flat_fee", "0")),
    )
