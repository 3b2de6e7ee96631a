"""Who is billed by which plan, from when to when."""

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from ninja import Query
from pydantic import Field

from billing.api.customers import visible_customer
from billing.api.fields import CurrencyCode, DecimalText, Exact
from billing.api.plans import visible_plan
from billing.core.exact import ZERO
from billing.models import Subscription
from billing.operations import (
    Agreement,
    CommitmentTooShort,
    SubscriptionNotEndable,
    SubscriptionsOverlap,
    end_subscription,
    subscribe,
)
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import Given, Instant, Taken, example, one_of
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources

subscriptions = Resources()

Interval = Literal["weekly", "monthly", "quarterly", "half_yearly", "yearly"]


class CommitmentIn(Taken):
    """What the invoices of each interval come to at least, after discounts and before tax."""

    amount: Annotated[Decimal, DecimalText(16, 4)]
    interval: Interval = "yearly"


class CommitmentOut(Given):
    amount: Exact
    interval: Annotated[str, one_of(Subscription.Interval)]


class SubscriptionOut(Given):
    """[starts_at, ends_at); without an end it goes on. Usage up to `trial_ends_at` costs
    nothing."""

    id: UUID
    customer_id: UUID
    plan_id: UUID
    cycle: Annotated[str, one_of(Subscription.Cycle)]
    interval: Annotated[str, one_of(Subscription.Interval)]
    proration: Annotated[str, one_of(Subscription.Proration)]
    currency: str
    starts_at: Instant
    ends_at: Instant | None
    trial_ends_at: Instant | None
    commitment: CommitmentOut | None


class SubscriptionIn(Taken):
    """Moments are taken to the start of their 5-minute bucket. `currency` is the customer's own
    where it is left out, or else the plan's."""

    model_config = example(
        {
            "customer_id": "5f0c3c2a-1d1c-4b0e-8f7a-1d1c4b0e8f7a",
            "plan_id": "0b9a7c1e-5d6f-4a3b-9c2d-7e8f9a0b1c2d",
            "starts_at": "2026-11-10T00:00:00Z",
            "cycle": "anniversary",
            "commitment": {"amount": "1200", "interval": "yearly"},
        }
    )

    customer_id: UUID
    plan_id: UUID
    starts_at: Instant
    cycle: Literal["calendar", "anniversary"] = "calendar"
    interval: Interval = "monthly"
    proration: Literal["elapsed", "days"] = "elapsed"
    currency: CurrencyCode | None = None
    trial_ends_at: Instant | None = None
    commitment: CommitmentIn | None = None


class SubscriptionEnd(Taken):
    model_config = example({"ends_at": "2027-01-01T00:00:00Z"})

    ends_at: Instant


class SubscriptionFilters(Paging):
    customer: Annotated[UUID | None, Field(description="Those of this customer.")] = None
    plan: Annotated[UUID | None, Field(description="Those to this plan.")] = None


@subscriptions.reading(
    "/subscriptions",
    scope="subscriptions:read",
    answers=Page[SubscriptionOut],
    summary="List subscriptions",
)
def list_subscriptions(
    request: ApiRequest, filters: Query[SubscriptionFilters]
) -> Page[SubscriptionOut]:
    rows = Subscription.objects.filter(request.caller.own("customer")).select_related("plan")
    if filters.customer is not None:
        rows = rows.filter(customer=filters.customer)
    if filters.plan is not None:
        rows = rows.filter(plan=filters.plan)
    return page_of(rows, filters, _shown, by="starts_at")


@subscriptions.creating(
    "/subscriptions",
    scope="subscriptions:write",
    answers=SubscriptionOut,
    summary="Subscribe a customer to a plan",
)
def create_subscription(request: ApiRequest, subscription: SubscriptionIn) -> SubscriptionOut:
    customer = visible_customer(request.caller, subscription.customer_id)
    plan = visible_plan(request.caller, subscription.plan_id)
    try:
        begun = subscribe(
            customer,
            plan,
            starts_at=subscription.starts_at,
            cycle=subscription.cycle,
            agreed=_agreed(subscription),
        )
        return _shown(begun)
    except CommitmentTooShort as refusal:
        raise unprocessable(("commitment.interval", str(refusal))) from refusal
    except SubscriptionsOverlap as refusal:
        raise conflict("subscriptions-overlap", f"{refusal}.") from refusal


@subscriptions.reading(
    "/subscriptions/{uuid:subscription_id}",
    scope="subscriptions:read",
    answers=SubscriptionOut,
    summary="Read a subscription",
)
def get_subscription(request: ApiRequest, subscription_id: UUID) -> SubscriptionOut:
    return _shown(visible_subscription(request.caller, subscription_id))


@subscriptions.acting(
    "/subscriptions/{uuid:subscription_id}/end",
    scope="subscriptions:write",
    answers=SubscriptionOut,
    summary="End a subscription",
)
def end_a_subscription(
    request: ApiRequest, subscription_id: UUID, end: SubscriptionEnd
) -> SubscriptionOut:
    subscription = visible_subscription(request.caller, subscription_id)
    try:
        return _shown(end_subscription(subscription, ends_at=end.ends_at))
    except SubscriptionNotEndable as refusal:
        raise conflict("subscription-not-endable", f"{refusal}.") from refusal


def _agreed(wanted: SubscriptionIn) -> Agreement:
    committed = wanted.commitment or CommitmentIn(amount=ZERO)
    if wanted.commitment is not None and committed.amount <= ZERO:
        raise unprocessable(("commitment.amount", "it is above zero; or leave commitment out"))
    return Agreement(
        interval=wanted.interval,
        proration=wanted.proration,
        currency=wanted.currency,
        trial_ends_at=wanted.trial_ends_at,
        commitment=None if wanted.commitment is None else committed.amount,
        commitment_interval=committed.interval,
    )


def visible_subscription(caller: Caller, subscription_id: UUID) -> Subscription:
    """Raises Problem 404, alike for what does not exist and for what is another's."""
    found = Subscription.objects.filter(caller.own("customer"), pk=subscription_id).first()
    if found is None:
        raise not_found("subscription")
    return found


def _shown(subscription: Subscription) -> SubscriptionOut:
    return SubscriptionOut(
        id=subscription.pk,
        customer_id=subscription.customer_id,
        plan_id=subscription.plan_id,
        cycle=subscription.cycle,
        interval=subscription.interval,
        proration=subscription.proration,
        currency=subscription.paid_in,
        starts_at=subscription.starts_at,
        ends_at=subscription.ends_at,
        trial_ends_at=subscription.trial_ends_at,
        commitment=_commitment(subscription),
    )


def _commitment(subscription: Subscription) -> CommitmentOut | None:
    if subscription.commitment is None:
        return None
    return CommitmentOut(amount=subscription.commitment, interval=subscription.commitment_interval)
