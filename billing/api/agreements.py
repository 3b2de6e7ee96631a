"""What a customer gets beside a plan: prices of their own, and discounts."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from ninja import Query
from pydantic import Field, StringConstraints

from billing.api.customers import visible_customer
from billing.api.fields import CurrencyCode, DecimalText, Exact
from billing.api.plans import visible_plan
from billing.api.subscriptions import visible_subscription
from billing.models import Discount, Plan, PriceOverride, Subscription
from billing.operations import (
    DiscountIsInvoiced,
    DiscountNotUsable,
    OverrideIsInvoiced,
    OwnPrice,
    Rebate,
    end_discount,
    end_price,
    grant_discount,
    grant_price,
)
from billing.overrides import OverrideNotUsable
from billing.price_codes import UnknownPriceCode
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import PRINTABLE, Given, Instant, Taken, example, text
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.models import Customer

agreements = Resources()

Code = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PRINTABLE)]


class OwnPriceIn(Taken):
    """In place of the plan's price with the code `code`. `definition` holds what differs from it,
    such as {"unit_price": "0.03"}. Moments are taken to the start of their 5-minute bucket."""

    model_config = example(
        {
            "customer_id": "5f0c3c2a-1d1c-4b0e-8f7a-1d1c4b0e8f7a",
            "code": "cpu",
            "currency": "EUR",
            "definition": {"unit_price": "0.03"},
            "starts_at": "2026-12-01T00:00:00Z",
            "reason": "offer 7",
        }
    )

    customer_id: UUID
    code: Code
    currency: CurrencyCode
    definition: Annotated[dict[str, Any], Field(min_length=1, max_length=20)]
    starts_at: Instant
    ends_at: Instant | None = None
    reason: Annotated[str, text(200)] = ""


class OwnPriceOut(Given):
    """[starts_at, ends_at); without an end it goes on."""

    id: UUID
    customer_id: UUID
    code: str
    currency: str
    definition: dict[str, Any]
    starts_at: Instant
    ends_at: Instant | None
    reason: str


class DiscountIn(Taken):
    """Of one customer, subscription or plan: `percent`, or `amount` in `currency`, off the prices
    with `price_codes` or off the whole invoice; on the first `periods` invoices, or on all. Lower
    positions are taken first."""

    model_config = example(
        {
            "customer_id": "5f0c3c2a-1d1c-4b0e-8f7a-1d1c4b0e8f7a",
            "name": "Welcome",
            "percent": "10",
            "periods": 3,
            "starts_at": "2026-12-01T00:00:00Z",
        }
    )

    customer_id: UUID | None = None
    subscription_id: UUID | None = None
    plan_id: UUID | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=PRINTABLE)]
    percent: Annotated[Decimal, DecimalText(3, 4)] | None = None
    amount: Annotated[Decimal, DecimalText(16, 4)] | None = None
    currency: CurrencyCode | None = None
    price_codes: Annotated[list[Code], Field(max_length=100)] = []
    position: Annotated[int, Field(ge=0, le=999, strict=True)] = 1
    periods: Annotated[int, Field(ge=1, le=1_000, strict=True)] | None = None
    starts_at: Instant
    ends_at: Instant | None = None


class DiscountOut(Given):
    """Invoices of periods that end after `starts_at` and start before `ends_at` have it."""

    id: UUID
    customer_id: UUID | None
    subscription_id: UUID | None
    plan_id: UUID | None
    name: str
    percent: Exact | None
    amount: Exact | None
    currency: str
    price_codes: list[str]
    position: int
    periods: int | None
    starts_at: Instant
    ends_at: Instant | None


class AgreementEnd(Taken):
    model_config = example({"ends_at": "2027-01-01T00:00:00Z"})

    ends_at: Instant


class AgreementFilters(Paging):
    customer: Annotated[UUID | None, Field(description="Those of this customer.")] = None


class DiscountFilters(AgreementFilters):
    subscription: Annotated[UUID | None, Field(description="Those of this subscription.")] = None
    plan: Annotated[UUID | None, Field(description="Those of this plan.")] = None


@agreements.reading(
    "/own-prices",
    scope="subscriptions:read",
    answers=Page[OwnPriceOut],
    summary="List customers' own prices",
)
def list_own_prices(request: ApiRequest, filters: Query[AgreementFilters]) -> Page[OwnPriceOut]:
    rows = PriceOverride.objects.filter(request.caller.own("customer"))
    if filters.customer is not None:
        rows = rows.filter(customer=filters.customer)
    return page_of(rows, filters, _shown_price, by="starts_at")


@agreements.creating(
    "/own-prices",
    scope="subscriptions:write",
    answers=OwnPriceOut,
    summary="Give a customer a price of their own",
)
def create_own_price(request: ApiRequest, price: OwnPriceIn) -> OwnPriceOut:
    own = OwnPrice(
        price.code, price.currency, price.definition, price.starts_at, price.ends_at, price.reason
    )
    customer = visible_customer(request.caller, price.customer_id)
    try:
        return _shown_price(grant_price(customer, own))
    except OverrideNotUsable as refusal:
        raise unprocessable(("definition", str(refusal))) from refusal
    except OverrideIsInvoiced as refusal:
        raise conflict("own-price-is-invoiced", f"{refusal}.") from refusal


@agreements.reading(
    "/own-prices/{uuid:own_price_id}",
    scope="subscriptions:read",
    answers=OwnPriceOut,
    summary="Read a customer's own price",
)
def get_own_price(request: ApiRequest, own_price_id: UUID) -> OwnPriceOut:
    return _shown_price(_visible_price(request.caller, own_price_id))


@agreements.acting(
    "/own-prices/{uuid:own_price_id}/end",
    scope="subscriptions:write",
    answers=OwnPriceOut,
    summary="Go back to the plan's price",
)
def end_own_price(request: ApiRequest, own_price_id: UUID, end: AgreementEnd) -> OwnPriceOut:
    found = _visible_price(request.caller, own_price_id)
    try:
        return _shown_price(end_price(found, ends_at=end.ends_at))
    except OverrideNotUsable as refusal:
        raise unprocessable(("ends_at", str(refusal))) from refusal
    except OverrideIsInvoiced as refusal:
        raise conflict("own-price-is-invoiced", f"{refusal}.") from refusal


@agreements.reading(
    "/discounts",
    scope="subscriptions:read",
    answers=Page[DiscountOut],
    summary="List discounts",
)
def list_discounts(request: ApiRequest, filters: Query[DiscountFilters]) -> Page[DiscountOut]:
    wanted = {name: getattr(filters, name) for name in ("customer", "subscription", "plan")}
    rows = _visible_discounts(request.caller).filter(
        **{name: value for name, value in wanted.items() if value is not None}
    )
    return page_of(rows, filters, _shown_discount, by="starts_at")


@agreements.creating(
    "/discounts",
    scope="subscriptions:write",
    answers=DiscountOut,
    summary="Take something off a customer's, a subscription's or a plan's invoices",
)
def create_discount(request: ApiRequest, discount: DiscountIn) -> DiscountOut:
    subject = _subject(request.caller, discount)
    rebate = Rebate(
        name=discount.name,
        starts_at=discount.starts_at,
        percent=discount.percent,
        amount=discount.amount,
        currency=discount.currency or "",
        price_codes=tuple(discount.price_codes),
        position=discount.position,
        periods=discount.periods,
        ends_at=discount.ends_at,
    )
    try:
        return _shown_discount(grant_discount(subject, rebate))
    except UnknownPriceCode as refusal:
        raise unprocessable(("price_codes", str(refusal))) from refusal
    except DiscountNotUsable as refusal:
        raise unprocessable(("percent", str(refusal))) from refusal


@agreements.reading(
    "/discounts/{uuid:discount_id}",
    scope="subscriptions:read",
    answers=DiscountOut,
    summary="Read a discount",
)
def get_discount(request: ApiRequest, discount_id: UUID) -> DiscountOut:
    return _shown_discount(_visible_discount(request.caller, discount_id))


@agreements.acting(
    "/discounts/{uuid:discount_id}/end",
    scope="subscriptions:write",
    answers=DiscountOut,
    summary="Leave a discount off the invoices of later periods",
)
def end_a_discount(request: ApiRequest, discount_id: UUID, end: AgreementEnd) -> DiscountOut:
    found = _visible_discount(request.caller, discount_id)
    try:
        return _shown_discount(end_discount(found, ends_at=end.ends_at))
    except DiscountNotUsable as refusal:
        raise unprocessable(("ends_at", str(refusal))) from refusal
    except DiscountIsInvoiced as refusal:
        raise conflict("discount-is-invoiced", f"{refusal}.") from refusal


def _visible_price(caller: Caller, own_price_id: UUID) -> PriceOverride:
    found = PriceOverride.objects.filter(caller.own("customer"), pk=own_price_id).first()
    if found is None:
        raise not_found("own price")
    return found


def _visible_discount(caller: Caller, discount_id: UUID) -> Discount:
    found = _visible_discounts(caller).filter(pk=discount_id).first()
    if found is None:
        raise not_found("discount")
    return found


def _visible_discounts(caller: Caller) -> "QuerySet[Discount]":
    """A customer's own key sees its own and those of its subscriptions."""
    return Discount.objects.filter(caller.own("customer") | caller.own("subscription__customer"))


def _subject(caller: Caller, discount: DiscountIn) -> Customer | Subscription | Plan:
    match (discount.customer_id, discount.subscription_id, discount.plan_id):
        case (UUID() as customer_id, None, None):
            return visible_customer(caller, customer_id)
        case (None, UUID() as subscription_id, None):
            return visible_subscription(caller, subscription_id)
        case (None, None, UUID() as plan_id):
            return visible_plan(caller, plan_id)
    reason = "give one of customer_id, subscription_id and plan_id"
    raise unprocessable(("customer_id", reason))


def _shown_price(own: PriceOverride) -> OwnPriceOut:
    return OwnPriceOut(
        id=own.pk,
        customer_id=own.customer_id,
        code=own.code,
        currency=own.currency,
        definition=own.definition,
        starts_at=own.starts_at,
        ends_at=own.ends_at,
        reason=own.reason,
    )


def _shown_discount(discount: Discount) -> DiscountOut:
    return DiscountOut(
        id=discount.pk,
        customer_id=discount.customer_id,
        subscription_id=discount.subscription_id,
        plan_id=discount.plan_id,
        name=discount.name,
        percent=discount.percent,
        amount=discount.amount,
        currency=discount.currency,
        price_codes=discount.price_codes,
        position=discount.position,
        periods=1 if discount.duration == Discount.Duration.ONCE else discount.periods,
        starts_at=discount.starts_at,
        ends_at=discount.ends_at,
    )
