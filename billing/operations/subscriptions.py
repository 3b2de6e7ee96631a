"""Subscribing customers to plans."""

from datetime import datetime

from django.db import IntegrityError, transaction

from billing.core.periods import bucket_start
from billing.models import Plan, Subscription
from tenants.models import Customer
from tenants.refusals import constraint_of

_ONE_SUBSCRIPTION = frozenset({"subscription_one_open", "subscriptions_apart"})


class SubscriptionsOverlap(Exception):
    """The customer has another subscription at that time."""


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
