"""Which periods a subscription is billed for, and which version of its plan rates them."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db.models import Exists, Min, OuterRef, Q, QuerySet

from billing.core.periods import (
    Anchoring,
    BillingCycle,
    Interval,
    Period,
    billing_period_containing,
)
from billing.models import Invoice, Plan, PlanVersion, Subscription
from tenants.models import Customer

# When a period starts and ends.
Bounds = tuple[datetime, datetime]


class PlanHasNoVersion(Exception):
    """No version of the plan was in effect when the period began."""


def period_of(document: Invoice) -> Period:
    """The billing period that an invoice or note is of."""
    return Period(document.period_start, document.period_end)


def subscription_of(customer: Customer, *, as_of: datetime) -> Subscription | None:
    """The subscription that is running at `as_of`."""
    running = Q(starts_at__lte=as_of) & (Q(ends_at__isnull=True) | Q(ends_at__gt=as_of))
    return (
        Subscription.objects.filter(running, customer=customer)
        .select_related("plan", "customer")
        .order_by("starts_at")
        .last()
    )


def cycle_of(subscription: Subscription) -> BillingCycle:
    """Where the subscription's billing periods begin, in the customer's time zone."""
    return BillingCycle(
        start=subscription.starts_at,
        time_zone=subscription.customer.time_zone,
        anchoring=cast(Anchoring, subscription.cycle),
        interval=cast(Interval, subscription.interval),
    )


def current_period(subscription: Subscription, *, as_of: datetime) -> Period:
    """The billing period that `as_of` lies in; the last one ends with the subscription.

    An invoiced period stays as it was invoiced, and those around it end and begin with it, even
    if the customer has moved to another time zone since. Raises BeforeBilling for what lies before
    the subscription's start and PeriodEmpty for what lies after its end.
    """
    return period_at(subscription, as_of, invoiced_bounds([subscription])[subscription.pk])


def invoiced_bounds(subscriptions: Collection[Subscription]) -> Mapping[UUID, Sequence[Bounds]]:
    """The start and end of every period that has an invoice, by subscription, oldest first."""
    invoices = Invoice.objects.filter(
        subscription__in=[each.pk for each in subscriptions], kind=Invoice.Kind.INVOICE
    ).order_by("period_start")
    found: defaultdict[UUID, list[Bounds]] = defaultdict(list)
    for subscription_id, *bounds in invoices.values_list(
        "subscription", "period_start", "period_end"
    ):
        found[subscription_id].append((bounds[0], bounds[1]))
    return found


def period_at(subscription: Subscription, instant: datetime, invoiced: Sequence[Bounds]) -> Period:
    """As current_period, of a subscription with these invoiced periods."""
    before = [bounds for bounds in invoiced if bounds[0] <= instant]
    if before and instant < before[-1][1]:
        return Period(*before[-1])
    period = billing_period_containing(instant, cycle_of(subscription))
    ends = [start for start, _ in invoiced[len(before) :][:1]]
    if subscription.ends_at is not None:
        ends.append(subscription.ends_at)
    starts = [end for _, end in before[-1:]]
    return Period(max([period.start, *starts]), min([period.end, *ends]))


def ended_periods(subscription: Subscription, *, as_of: datetime) -> Iterator[Period]:
    """The periods that have ended by `as_of` and have no invoice, oldest first.

    All periods since the subscription's start are looked at, not only those after the newest
    invoice: one that was passed over because its plan had no prices is due once it has some.
    """
    return _ended(subscription, as_of, invoiced_bounds([subscription])[subscription.pk])


def _ended(
    subscription: Subscription, as_of: datetime, invoiced: Sequence[Bounds]
) -> Iterator[Period]:
    ends = dict(invoiced)
    start = subscription.starts_at
    while start < (subscription.ends_at or as_of):
        if start in ends:
            start = ends[start]
            continue
        period = period_at(subscription, start, invoiced)
        if as_of < period.end:
            return
        if period.start not in ends:
            yield period
        start = period.end


def periods_due(
    subscriptions: Collection[Subscription], *, as_of: datetime
) -> dict[UUID, Iterator[Period]]:
    """What is to be closed, by subscription: ended periods without an invoice, for which the plan
    has prices, oldest first. As many queries for many subscriptions as for one."""
    invoiced = invoiced_bounds(subscriptions)
    priced_since = _priced_since({each.plan_id for each in subscriptions})
    return {
        each.pk: _priced(_ended(each, as_of, invoiced[each.pk]), priced_since.get(each.plan_id))
        for each in subscriptions
    }


def _priced(periods: Iterator[Period], since: datetime | None) -> Iterator[Period]:
    return (each for each in periods if since is not None and since <= each.start)


def due_periods(*, as_of: datetime) -> list[tuple[Subscription, Period]]:
    """What is to be closed in all of the tenant."""
    subscriptions = list(Subscription.objects.select_related("customer", "plan"))
    due = periods_due(subscriptions, as_of=as_of)
    return [(each, period) for each in subscriptions for period in due[each.pk]]


def _priced_since(plan_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """From when on each plan has prices; a plan that has none is left out."""
    versions = PlanVersion.objects.filter(plan__in=plan_ids, published_at__isnull=False).order_by()
    return dict(versions.values_list("plan").annotate(Min("effective_from")))


def is_used(plan_version: PlanVersion) -> bool:
    """Whether an invoice was rated with the version, which then cannot change any more."""
    found: Any = with_use(PlanVersion.objects.filter(pk=plan_version.pk)).get()
    return bool(found.used)


def with_use(versions: "QuerySet[PlanVersion]") -> "QuerySet[PlanVersion]":
    """Each with `used`: whether an invoice was rated with it.

    One that takes effect at once also rates what is left of a period that began with another.
    """
    rated = Invoice.objects.filter(plan_version=OuterRef("pk"))
    after = Invoice.objects.filter(
        plan_version__plan=OuterRef("plan"), period_end__gt=OuterRef("effective_from")
    )
    at_once = Q(takes_effect=PlanVersion.TakesEffect.AT_ONCE, published_at__isnull=False)
    return versions.annotate(used=Q(Exists(rated)) | (at_once & Q(Exists(after))))


def published_versions(plan: Plan) -> "QuerySet[PlanVersion]":
    """The plan's versions but for its drafts."""
    return PlanVersion.objects.filter(plan=plan, published_at__isnull=False)


def plan_version_for(plan: Plan, period_start: datetime) -> PlanVersion:
    """The version that a period begins with: the newest in effect when it began.

    Raises PlanHasNoVersion.
    """
    effective = published_versions(plan).filter(effective_from__lte=period_start)
    version = effective.order_by("effective_from", "number").last()
    if version is None:
        raise PlanHasNoVersion(f"{plan} has no prices for {period_start:%Y-%m-%d}")
    return version
