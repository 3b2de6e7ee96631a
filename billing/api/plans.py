"""Plans, their versions and prices."""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from ninja import Query
from pydantic import Field, StringConstraints

from billing.api.fields import CurrencyCode, DecimalText, Exact
from billing.core.allowance import ROLLOVER_PERIODS_MAX
from billing.core.exact import InexactNumber
from billing.core.quantity import aggregation_of
from billing.models import Plan, PlanVersion, Price
from billing.operations import (
    Offer,
    VersionAlreadyPublished,
    VersionNotUsable,
    draft_plan_version,
    publish_draft,
    publish_plan_version,
)
from billing.operations.plans import Counting
from billing.prices import price_spec
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import PRINTABLE, Given, Instant, Name, Taken
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.refusals import constraint_of

plans = Resources()

_CODE: Final = "[a-z0-9][a-z0-9._-]*"
UnitPrice = Annotated[Decimal, DecimalText(12, 12)]
Quantity = Annotated[Decimal, DecimalText(18, 12)]
Factor = Annotated[Decimal, DecimalText(2, 4)]
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


class CountingIn(Taken):
    """Which usage a version counts: what share of each role's, transactions of which instances,
    what of two primaries at one time, and what becomes of gaps."""

    primary_factor: Factor = Decimal(1)
    replica_factor: Factor = Decimal(1)
    standby_factor: Factor = Decimal(1)
    transactions_on: Literal["primary", "every"] = "primary"
    primaries: Literal["every", "one"] = "every"
    gaps: Literal["not_billed", "held", "interpolated", "credited"] = "not_billed"


class VersionIn(Taken):
    """Prices in their order on the invoice. Periods that start at or after `effective_from` are
    rated with them; with `takes_effect` at_once also what is left of those that run then. A draft
    rates nothing until it is published."""

    effective_from: Instant
    takes_effect: Literal["period", "at_once"] = "period"
    draft: bool = False
    counting: CountingIn = CountingIn()
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
    code: str
    label: str
    meter: str
    aggregation: str
    unit: str
    kind: str
    currency: str
    interval_minutes: int
    percentile: Exact
    over: str
    distinct: str
    allowance: Exact
    rollover_periods: int
    unit_price: Exact | None
    tiers: list[TierOut]
    definition: dict[str, Any]
    minimum: Exact | None
    maximum: Exact | None
    accepted_qualities: list[str]
    product_class: str


class CountingOut(Given):
    primary_factor: Exact
    replica_factor: Exact
    standby_factor: Exact
    transactions_on: str
    primaries: str
    gaps: str


class VersionOut(Given):
    """`published_at` is null of a draft."""

    id: UUID
    number: int
    effective_from: Instant
    takes_effect: str
    published_at: Instant | None
    counting: CountingOut
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
    versions = _visible_versions(request.caller, plan).order_by("-number")
    return PlanWithVersionsOut(
        id=plan.pk,
        name=plan.name,
        currency=plan.currency,
        versions=[_version(version) for version in versions.prefetch_related("prices")],
    )


@plans.creating(
    "/plans/{uuid:plan_id}/versions",
    scope="plans:write",
    answers=VersionOut,
    summary="Publish a version with prices, or draft one",
)
def publish_version(request: ApiRequest, plan_id: UUID, version: VersionIn) -> VersionOut:
    plan = visible_plan(request.caller, plan_id)
    counted = {name: getattr(version.counting, name) for name in CountingIn.model_fields}
    unpriced = PlanVersion(plan=plan, **counted)
    prices = [_price(price, unpriced, index) for index, price in enumerate(version.prices)]
    offer = Offer(prices, version.effective_from, Counting(**counted), version.takes_effect)
    make = draft_plan_version if version.draft else publish_plan_version
    try:
        return _version(make(plan, offer))
    except VersionNotUsable as refusal:
        raise conflict("version-not-usable", f"{refusal}.") from refusal
    except (ValueError, InexactNumber) as refusal:
        raise unprocessable(("prices", str(refusal))) from refusal


@plans.acting(
    "/plan-versions/{uuid:version_id}/publish",
    scope="plans:write",
    answers=VersionOut,
    summary="Publish a draft",
)
def publish_a_draft(request: ApiRequest, version_id: UUID) -> VersionOut:
    version = visible_version(request.caller, version_id)
    try:
        return _version(publish_draft(version, as_of=request.as_of))
    except VersionAlreadyPublished as refusal:
        raise conflict("version-published", f"It was published {refusal}.") from refusal
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


def visible_version(caller: Caller, version_id: UUID) -> PlanVersion:
    """Raises Problem 404, alike for what does not exist and for what is another's."""
    rows = PlanVersion.objects.filter(pk=version_id).select_related("plan")
    found = rows.filter(plan__in=_visible_plans(caller)).first()
    if found is None:
        raise not_found("plan version")
    return found


def _visible_versions(caller: Caller, plan: Plan) -> "QuerySet[PlanVersion]":
    """What is not published yet is nothing for a customer to see."""
    versions = PlanVersion.objects.filter(plan=plan)
    return versions if caller.customer_id is None else versions.filter(published_at__isnull=False)


def _price(price: PriceIn, version: PlanVersion, index: int) -> Price:
    """The price as it would be stored. Raises Problem 422 where it cannot be rated."""
    fields: dict[str, Any] = {
        name: getattr(price, name) for name in PriceIn.model_fields if name != "tiers"
    }
    made = Price(**fields, tiers=[tier.model_dump(mode="json") for tier in price.tiers])
    try:
        _require_kind(price)
        made.aggregation = price.aggregation or (aggregation_of(price.meter) if price.meter else "")
        price_spec(made, version)
    except (ValueError, InexactNumber) as refusal:
        raise unprocessable((f"prices.{index}", str(refusal))) from refusal
    return made


def _require_kind(price: PriceIn) -> None:
    """What the database holds of every price; raises ValueError."""
    if (price.kind in Price.WITH_UNIT_PRICE) is (price.unit_price is None):
        raise ValueError(
            "per unit, per package and flat have a unit_price, and no other kind has one"
        )
    if price.tiers and price.kind not in ("graduated", "volume"):
        raise ValueError("only a graduated and a volume price have tiers")
    if price.kind in Price.UNMETERED and (price.meter or price.unit or price.aggregation):
        raise ValueError("a flat fee or a percentage counts no meter and has no unit")
    if price.kind not in Price.UNMETERED and not price.meter:
        raise ValueError("a price for usage says which meter it counts")
    low, high = price.minimum, price.maximum
    if low is not None and high is not None and low > high:
        raise ValueError("the minimum is above the maximum")


def _shown(plan: Plan) -> PlanOut:
    return PlanOut(id=plan.pk, name=plan.name, currency=plan.currency)


def _version(version: PlanVersion) -> VersionOut:
    prices = sorted(version.prices.all(), key=lambda price: price.position)
    return VersionOut(
        id=version.pk,
        number=version.number,
        effective_from=version.effective_from,
        takes_effect=version.takes_effect,
        published_at=version.published_at,
        counting=CountingOut(**{name: getattr(version, name) for name in CountingOut.model_fields}),
        prices=[_shown_price(price) for price in prices],
    )


def _shown_price(price: Price) -> PriceOut:
    fields = {name: getattr(price, name) for name in PriceOut.model_fields if name != "tiers"}
    return PriceOut(**fields, tiers=[_tier(stored) for stored in price.tiers])


def _tier(stored: dict[str, Any]) -> TierOut:
    up_to = stored["up_to"]
    return TierOut(
        up_to=None if up_to is None else str(up_to),
        unit_price=str(stored["unit_price"]),
        flat_fee=str(stored.get("flat_fee", "0")),
    )
