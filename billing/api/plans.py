"""Plans, their versions and prices."""

from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from ninja import Query
from pydantic import Field, StringConstraints

from billing.api.fields import CurrencyCode, DecimalText, Exact
from billing.core.exact import InexactNumber
from billing.core.quantity import aggregation_of
from billing.models import Plan, PlanVersion, Price
from billing.operations import Offer, VersionNotUsable, publish_plan_version
from billing.prices import price_spec
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import PRINTABLE, Given, Instant, Name, Taken
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.refusals import constraint_of

plans = Resources()

UnitPrice = Annotated[Decimal, DecimalText(12, 12)]
Quantity = Annotated[Decimal, DecimalText(18, 12)]
Quality = Literal["exact", "sampled", "lower_bound", "estimated"]


class TierIn(Taken):
    """Units above the bound of the tier before, up to and including `up_to`; null: no bound."""

    up_to: Quantity | None
    unit_price: UnitPrice
    flat_fee: UnitPrice = Decimal(0)


class PriceIn(Taken):
    """What one meter costs. A graduated price has tiers, one per unit its unit price."""

    label: Name
    meter: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern="^[a-z0-9._]+$")]
    unit: Annotated[str, StringConstraints(min_length=1, max_length=20, pattern=PRINTABLE)]
    kind: Literal["per_unit", "graduated"] = "per_unit"
    allowance: Quantity = Decimal(0)
    unit_price: UnitPrice | None = None
    tiers: Annotated[list[TierIn], Field(max_length=100)] = []
    accepted_qualities: Annotated[list[Quality], Field(min_length=1, max_length=4)] = [
        "exact",
        "sampled",
    ]


class VersionIn(Taken):
    """Prices in their order on the invoice. Periods that start at or after `effective_from` are
    rated with them."""

    effective_from: Instant
    prices: Annotated[list[PriceIn], Field(min_length=1, max_length=200)]


class PlanIn(Taken):
    name: Name
    currency: CurrencyCode


class TierOut(Given):
    up_to: str | None
    unit_price: str
    flat_fee: str


class PriceOut(Given):
    id: UUID
    position: int
    label: str
    meter: str
    aggregation: str
    unit: str
    kind: str
    allowance: Exact
    unit_price: Exact | None
    tiers: list[TierOut]
    accepted_qualities: list[str]


class VersionOut(Given):
    id: UUID
    number: int
    effective_from: Instant
    prices: list[PriceOut]


class PlanOut(Given):
    id: UUID
    name: str
    currency: str


class PlanWithVersionsOut(PlanOut):
    """The newest version comes first."""

    versions: list[VersionOut]


@plans.reading("/plans", scope="plans:read", answers=Page[PlanOut], summary="List plans")
def list_plans(request: ApiRequest, filters: Query[Paging]) -> Page[PlanOut]:
    return page_of(_visible_plans(request.caller), filters, _shown, by="name")


@plans.creating("/plans", scope="plans:write", answers=PlanOut, summary="Add a plan")
def create_plan(request: ApiRequest, plan: PlanIn) -> PlanOut:
    try:
        with transaction.atomic():
            return _shown(Plan.objects.create(name=plan.name, currency=plan.currency))
    except IntegrityError as error:
        if constraint_of(error) == "plan_name":
            raise conflict("plan-name-in-use", "Another plan has this name.") from error
        raise


@plans.reading(
    "/plans/{uuid:plan_id}",
    scope="plans:read",
    answers=PlanWithVersionsOut,
    summary="Read a plan with its versions and prices",
)
def get_plan(request: ApiRequest, plan_id: UUID) -> PlanWithVersionsOut:
    plan = visible_plan(request.caller, plan_id)
    versions = plan.versions.order_by("-number").prefetch_related("prices")
    return PlanWithVersionsOut(
        id=plan.pk,
        name=plan.name,
        currency=plan.currency,
        versions=[_version(version) for version in versions],
    )


@plans.creating(
    "/plans/{uuid:plan_id}/versions",
    scope="plans:write",
    answers=VersionOut,
    summary="Publish a version with prices",
)
def publish_version(request: ApiRequest, plan_id: UUID, version: VersionIn) -> VersionOut:
    plan = visible_plan(request.caller, plan_id)
    prices = [_price(price, plan, index) for index, price in enumerate(version.prices)]
    try:
        return _version(publish_plan_version(plan, Offer(prices, version.effective_from)))
    except VersionNotUsable as refusal:
        raise conflict("version-not-usable", f"{refusal}.") from refusal


def visible_plan(caller: Caller, plan_id: UUID) -> Plan:
    """Raises Problem 404, alike for what does not exist and for what is another's."""
    found = _visible_plans(caller).filter(pk=plan_id).first()
    if found is None:
        raise not_found("plan")
    return found


def _visible_plans(caller: Caller) -> "QuerySet[Plan]":
    """A customer's own key sees the plans that the customer is, or was, subscribed to."""
    return Plan.objects.filter(caller.own("subscription__customer")).distinct()


def _price(price: PriceIn, plan: Plan, index: int) -> Price:
    """The price as it would be stored. Raises Problem 422 where it cannot be rated."""
    fields: dict[str, Any] = {
        name: getattr(price, name) for name in PriceIn.model_fields if name != "tiers"
    }
    made = Price(**fields, tiers=[tier.model_dump(mode="json") for tier in price.tiers])
    try:
        if (price.kind == "graduated") is (price.unit_price is not None):
            raise ValueError("a graduated price has tiers, and one per unit its unit price")
        if price.kind == "per_unit" and price.tiers:
            raise ValueError("a price per unit has no tiers")
        made.aggregation = aggregation_of(price.meter)
        price_spec(made, PlanVersion(plan=plan))
    except (ValueError, InexactNumber) as refusal:
        raise unprocessable((f"prices.{index}", str(refusal))) from refusal
    return made


def _shown(plan: Plan) -> PlanOut:
    return PlanOut(id=plan.pk, name=plan.name, currency=plan.currency)


def _version(version: PlanVersion) -> VersionOut:
    prices = sorted(version.prices.all(), key=lambda price: price.position)
    return VersionOut(
        id=version.pk,
        number=version.number,
        effective_from=version.effective_from,
        prices=[_shown_price(price) for price in prices],
    )


def _shown_price(price: Price) -> PriceOut:
    return PriceOut(
        id=price.pk,
        position=price.position,
        label=price.label,
        meter=price.meter,
        aggregation=price.aggregation,
        unit=price.unit,
        kind=price.kind,
        allowance=price.allowance,
        unit_price=price.unit_price,
        tiers=[_tier(stored) for stored in price.tiers],
        accepted_qualities=price.accepted_qualities,
    )


def _tier(stored: dict[str, Any]) -> TierOut:
    up_to = stored["up_to"]
    return TierOut(
        up_to=None if up_to is None else str(up_to),
        unit_price=str(stored["unit_price"]),
        flat_fee=str(stored.get("flat_fee", "0")),
    )
