"""Subscribing customers to plans."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from billing.core.currencies import currency_of
from billing.core.periods import Interval, bucket_start, is_longer
from billing.core.proration import ProratedBy
from billing.models import BillingDetails, Invoice, Plan, Subscription
from tenants.models import Customer
from tenants.refusals import constraint_of

_ONE_SUBSCRIPTION = frozenset({"subscription_one_open", "subscriptions_apart"})


class SubscriptionsOverlap(Exception):
    """The customer has another subscription at that time."""


class SubscriptionNotEndable(Exception):
    """The wanted end lies before the start, within an invoiced period, or after another end."""


class CommitmentTooShort(Exception):
    """A commitment period is shorter than the billing periods whose invoices it is made of."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is agreed beside the plan and its start.

    `currency` None: the customer's own, or else the plan's. A commitment is an amount that the
    invoices of each `commitment_interval` come to at least.
    """

    interval: Interval = "monthly"
    proration: ProratedBy = "elapsed"
    currency: str | None = None
    trial_ends_at: datetime | None = None
    commitment: Decimal | None = None
    commitment_interval: Interval = "yearly"


MONTHLY = Agreement()


def subscribe(
    customer: Customer,
    plan: Plan,
    *,
    starts_at: datetime,
    cycle: str = Subscription.Cycle.CALENDAR,
    agreed: Agreement = MONTHLY,
) -> Subscription:
    """Bill the customer by the plan from the 5-minute bucket that `starts_at` lies in.

    Raises SubscriptionsOverlap, CommitmentTooShort and UnknownCurrency.
    """
    require_commitment(agreed.commitment, agreed.commitment_interval, agreed.interval)
    currency = agreed.currency or currency_for(customer, plan)
    currency_of(currency)
    try:
        with transaction.atomic():
            return Subscription.objects.create(
                customer=customer,
                plan=plan,
                cycle=cycle,
                starts_at=bucket_start(starts_at),
                # The plan's own cannot change any more once it is invoiced.
                currency="" if currency == plan.currency else currency,
                interval=agreed.interval,
                proration=agreed.proration,
                trial_ends_at=agreed.trial_ends_at and bucket_start(agreed.trial_ends_at),
                commitment=agreed.commitment,
                commitment_interval=agreed.commitment_interval,
            )
    except IntegrityError as error:
        if constraint_of(error) in _ONE_SUBSCRIPTION:
            raise SubscriptionsOverlap(f"{customer} has another one at that time") from error
        raise


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


def currency_for(customer: Customer, plan: Plan) -> str:
    """What a subscription that begins now is billed in: the customer's own currency, or else the
    plan's."""
    own = BillingDetails.objects.filter(customer=customer).values_list("currency", flat=True)
    return next(iter(own), "") or plan.currency


def require_commitment(amount: Decimal | None, interval: Interval, billed: Interval) -> None:
    """Raises CommitmentTooShort."""
    if amount is not None and is_longer(billed, interval):
        raise CommitmentTooShort(f"it is billed {billed} and committed {interval}")
