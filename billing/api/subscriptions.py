"""Who is billed by which plan, from when to when."""

from typing import Literal
from uuid import UUID

from ninja import Query

from billing.api.customers import visible_customer
from billing.api.plans import visible_plan
from billing.models import Subscription
from billing.operations import (
    SubscriptionNotEndable,
    SubscriptionsOverlap,
    end_subscription,
    subscribe,
)
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found
from tenants.api.fields import Given, Instant, Taken
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources

subscriptions = Resources()


class SubscriptionOut(Given):
    """[starts_at, ends_at); without an end it goes on."""

    id: UUID
    customer_id: UUID
    plan_id: UUID
    cycle: str
    starts_at: Instant
    ends_at: Instant | None


class SubscriptionIn(Taken):
    """Moments are taken to the start of their 5-minute bucket."""

    customer_id: UUID
    plan_id: UUID
    starts_at: Instant
    cycle: Literal["calendar", "anniversary"] = "calendar"


class SubscriptionEnd(Taken):
    ends_at: Instant


class SubscriptionFilters(Paging):
    customer: UUID | None = None
    plan: UUID | None = None


@subscriptions.reading(
    "/subscriptions",
    scope="subscriptions:read",
    answers=Page[SubscriptionOut],
    summary="List subscriptions",
)
def list_subscriptions(
    request: ApiRequest, filters: Query[SubscriptionFilters]
) -> Page[SubscriptionOut]:
    rows = Subscription.objects.filter(request.caller.own("customer"))
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
        return _shown(
            subscribe(customer, plan, starts_at=subscription.starts_at, cycle=subscription.cycle)
        )
    except SubscriptionsOverlap as refusal:
        raise conflict("subscriptions-overlap", f"{refusal}.") from refusal


@subscriptions.reading(
    "/subscriptions/{uuid:subscription_id}",
    scope="subscriptions:read",
    answers=SubscriptionOut,
    summary="Read a subscription",
)
def get_subscription(request: ApiRequest, subscription_id: UUID) -> SubscriptionOut:
    return _shown(_visible(request.caller, subscription_id))


@subscriptions.acting(
    "/subscriptions/{uuid:subscription_id}/end",
    scope="subscriptions:write",
    answers=SubscriptionOut,
    summary="End a subscription",
)
def end_a_subscription(
    request: ApiRequest, subscription_id: UUID, end: SubscriptionEnd
) -> SubscriptionOut:
    subscription = _visible(request.caller, subscription_id)
    try:
        return _shown(end_subscription(subscription, ends_at=end.ends_at))
    except SubscriptionNotEndable as refusal:
        raise conflict("subscription-not-endable", f"{refusal}.") from refusal


def _visible(caller: Caller, subscription_id: UUID) -> Subscription:
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
        starts_at=subscription.starts_at,
        ends_at=subscription.ends_at,
    )
