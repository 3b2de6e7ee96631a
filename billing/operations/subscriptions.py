"""Subscribing customers to plans."""

from datetime import datetime

from django.db import IntegrityError, transaction

from billing.core.periods import bucket_start
from billing.models import Invoice, Plan, Subscription
from tenants.models import Customer
from tenants.refusals import constraint_of

_ONE_SUBSCRIPTION = frozenset({"subscription_one_open", "subscriptions_apart"})


class SubscriptionsOverlap(Exception):
    """The customer has another subscription at that time."""


class SubscriptionNotEndable(Exception):
    """The wanted end lies before the start, within an invoiced period, or after another end."""


def end_subscription(subscription: Subscription, *, ends_at: datetime) -> Subscription:
    """Bill the customer by it up to the 5-minute bucket that `ends_at` lies in, and no further.

    Asked twice for the same end it stays as it is. Raises SubscriptionNotEndable.
    """
    end = bucket_start(ends_at)
    with transaction.atomic():
        locked = Subscription.objects.select_for_update(no_key=True).get(pk=subscription.pk)
        if locked.ends_at == end:
            return locked
        if locked.ends_at is not None:
            raise SubscriptionNotEndable(f"it ends at {locked.ends_at:%Y-%m-%d %H:%M} UTC already")
        if end <= locked.starts_at:
            raise SubscriptionNotEndable(f"it starts at {locked.starts_at:%Y-%m-%d %H:%M} UTC")
        invoiced = Invoice.objects.filter(subscription=locked, period_end__gt=end)
        if invoiced.exists():
            raise SubscriptionNotEndable("a period after that moment is invoiced")
        locked.ends_at = end
        locked.save(update_fields=["ends_at"])
        return locked


def subscribe(
    customer: Customer, plan: Plan, *, starts_at: datetime, cycle: str = Subscription.Cycle.CALENDAR
) -> Subscription:
    """Bill the customer by the plan from the 5-minute bucket that `starts_at` lies in.

    Raises SubscriptionsOverlap.
    """
    try:
        with transaction.atomic():
            return Subscription.objects.create(
                customer=customer, plan=plan, cycle=cycle, starts_at=bucket_start(starts_at)
            )
    except IntegrityError as error:
        if constraint_of(error) in _ONE_SUBSCRIPTION:
            raise SubscriptionsOverlap(f"{customer} has another one at that time") from error
        raise
