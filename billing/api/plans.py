"""Plans, their versions and prices."""

from decimal import Decimal
from typing import Annotated, Final, Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from ninja import Query
from pydantic import Field

from billing.api.fields import CurrencyCode, DecimalText, Exact
from billing.api.prices import PriceIn, PriceOut, shown_price, unsaved_price
from billing.core.exact import InexactNumber
from billing.models import Plan, PlanVersion
from billing.operations import (
    Offer,
    VersionNotUsable,
    draft_plan_version,
    publish_plan_version,
)
from billing.operations.plans import Counting
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import Given, Instant, Name, Taken, example, one_of
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.refusals import constraint_of

plans = Resources()

PRICES_MAX: Final = 200
Factor = Annotated[Decimal, DecimalText(2, 4)]


class CountingIn(Taken):
    """Which usage a version counts: what share of each role's, transactions of which instances,
    what of two primaries at one time, and what becomes of gaps."""

    primary_factor: Factor = Decimal(1)
    replica_factor: Factor = Decimal(1)
    standby_factor: Factor = Decimal(1)
    transactions_on: Literal["primary", "every"] = "primary"
    primaries: Literal["every", "one"] = "every"
    gaps: Literal["not_billed", "held", "interpolated", "credited"] = "not_billed"


class DraftIn(Taken):
    """Prices in their order on the invoice. Periods that start at or after `effective_from` are
    rated with them; with `takes_effect` at_once also what is left of those that run then."""

    model_config = example(
        {
            "effective_from": "2027-01-01T00:00:00Z",
            "counting": {"primaries": "one"},
            "prices": [
                {
                    "label": "Base",
                    "kind": "flat",
                    "unit_price": "9",
                    "definition": {"timing": "advance"},
                },
                {
                    "label": "CPU",
                    "meter": "cpu.time",
                    "unit": "CPU-hour",
                    "kind": "graduated",
                    "tiers": [
                        {"up_to": "100", "unit_price": "0.05"},
                        {"up_to": None, "unit_price": "0.04"},
                    ],
                },
            ],
        }
    )

    effective_from: Instant
    takes_effect: Literal["period", "at_once"] = "period"
    counting: CountingIn = CountingIn()
    prices: Annotated[list[PriceIn], Field(min_length=1, max_length=PRICES_MAX)]


class VersionIn(DraftIn):
    """A version's prices, and whether it is a draft: that rates nothing until it is published."""

    model_config = example(
        {
            "effective_from": "2027-01-01T00:00:00Z",
            "draft": True,
            "prices": [
                {
                    "label": "Requests",
                    "meter": "transactions",
                    "unit": "thousand",
                    "kind": "package",
                    "unit_price": "1",
                    "definition": {"size": "100"},
                }
            ],
        }
    )

    draft: bool = False


class PlanIn(Taken):
    model_config = example({"name": "Hosting", "currency": "EUR"})

    name: Name
    currency: CurrencyCode


class CountingOut(Given):
    primary_factor: Exact
    replica_factor: Exact
    standby_factor: Exact
    transactions_on: Annotated[str, one_of(PlanVersion.TransactionsOn)]
    primaries: Annotated[str, one_of(PlanVersion.Primaries)]
    gaps: Annotated[str, one_of(PlanVersion.Gaps)]


class VersionOut(Given):
    """`published_at` is null of a draft."""

    id: UUID
    number: int
    effective_from: Instant
    takes_effect: Annotated[str, one_of(PlanVersion.TakesEffect)]
    published_at: Instant | None
    counting: CountingOut
    prices: list[PriceOut]


class PlanOut(Given):
    """What it costs stands in its versions, in this currency or others beside it."""

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
    versions = _visible_versions(request.caller).filter(plan=plan).order_by("-number")
    return PlanWithVersionsOut(
        id=plan.pk,
        name=plan.name,
        currency=plan.currency,
        versions=[shown_version(version) for version in versions.prefetch_related("prices")],
    )


@plans.creating(
    "/plans/{uuid:plan_id}/versions",
    scope="plans:write",
    answers=VersionOut,
    summary="Publish a version with prices, or draft one",
)
def publish_version(request: ApiRequest, plan_id: UUID, version: VersionIn) -> VersionOut:
    plan = visible_plan(request.caller, plan_id)
    make = draft_plan_version if version.draft else publish_plan_version
    try:
        return shown_version(make(plan, offer_of(plan, version)))
    except VersionNotUsable as refusal:
        raise conflict("version-not-usable", f"{refusal}.") from refusal
    except (ValueError, InexactNumber) as refusal:
        raise unprocessable(("prices", str(refusal))) from refusal


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
    rows = _visible_versions(caller).filter(pk=version_id, plan__in=_visible_plans(caller))
    found = rows.select_related("plan").first()
    if found is None:
        raise not_found("plan version")
    return found


def _visible_versions(caller: Caller) -> "QuerySet[PlanVersion]":
    """What is not published yet is nothing for a customer to see."""
    versions = PlanVersion.objects.all()
    return versions if caller.customer_id is None else versions.filter(published_at__isnull=False)


def _shown(plan: Plan) -> PlanOut:
    return PlanOut(id=plan.pk, name=plan.name, currency=plan.currency)


def offer_of(plan: Plan, version: DraftIn) -> Offer:
    """Raises Problem 422, of the price that cannot be rated."""
    counted = {name: getattr(version.counting, name) for name in CountingIn.model_fields}
    unpriced = PlanVersion(plan=plan, **counted)
    prices = [
        unsaved_price(price, unpriced, f"prices.{index}")
        for index, price in enumerate(version.prices)
    ]
    return Offer(prices, version.effective_from, Counting(**counted), version.takes_effect)


def shown_version(version: PlanVersion) -> VersionOut:
    prices = sorted(version.prices.all(), key=lambda price: price.position)
    counted = {name: getattr(version, name) for name in CountingOut.model_fields}
    return VersionOut(
        id=version.pk,
        number=version.number,
        effective_from=version.effective_from,
        takes_effect=version.takes_effect,
        published_at=version.published_at,
        counting=CountingOut(**counted),
        prices=[shown_price(price) for price in prices],
    )
