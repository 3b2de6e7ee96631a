"""What a subscription's earlier invoices and usage leave for a period: uses of discounts, what is
charged of a commitment, units of allowances carried over."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID

from django.db.models import Q, Sum

from billing.core.allowance import carried_over
from billing.core.commitment import CommitmentPart
from billing.core.discounts import DiscountTerm
from billing.core.exact import EXACT, ZERO
from billing.core.money import sum_amounts
from billing.core.periods import (
    Interval,
    Period,
    bucket_start,
    whole_period_containing,
)
from billing.core.proration import ProratedBy, share_of
from billing.core.quantity import unit_of
from billing.core.spans import Terms
from billing.models import (
    Discount,
    Invoice,
    InvoiceLine,
    Price,
    Subscription,
)
from billing.queries.periods import cycle_of

_TICK = timedelta(microseconds=1)


def discount_terms(subscription: Subscription, period: Period) -> tuple[DiscountTerm, ...]:
    subject = (
        Q(customer=subscription.customer_id)
        | Q(subscription=subscription.pk)
        | Q(plan=subscription.plan_id)
    )
    running = Q(starts_at__lt=period.end) & (Q(ends_at=None) | Q(ends_at__gt=period.start))
    payable = Q(currency__in=["", subscription.paid_in])
    found = list(Discount.objects.filter(subject, running, payable))
    limited = {str(each.pk): each.periods_max for each in found if each.periods_max is not None}
    used = _uses_before(subscription, period, limited)
    return tuple(
        DiscountTerm(
            id=str(each.pk),
            name=each.name,
            position=each.position,
            percent=each.percent,
            amount=each.amount,
            codes=frozenset(each.price_codes),
        )
        for each in found
        if each.periods_max is None or used.get(str(each.pk), 0) < each.periods_max
    )


def _uses_before(
    subscription: Subscription, period: Period, discount_ids: Collection[str]
) -> dict[str, int]:
    """On how many of the customer's invoices of earlier periods each discount stands: counted
    again each time, so that rating a period twice comes to the same."""
    if not discount_ids:
        return {}
    stands = (
        InvoiceLine.objects.filter(
            kind=InvoiceLine.Kind.DISCOUNT,
            facts__discount__in=list(discount_ids),
            invoice__customer=subscription.customer_id,
            invoice__kind=Invoice.Kind.INVOICE,
            invoice__period_start__lt=period.start,
        )
        .exclude(invoice__status=Invoice.Status.VOID)
        .order_by()
        .values_list("facts__discount", "invoice_id")
        .distinct()
    )
    used: dict[str, int] = {}
    for discount_id, _ in stands:
        used[discount_id] = used.get(discount_id, 0) + 1
    return used


def commitment_part(subscription: Subscription, period: Period) -> CommitmentPart | None:
    """The commitment period that ends with the period, or with the subscription in it."""
    if subscription.commitment is None:
        return None
    cycle = replace(
        cycle_of(subscription), interval=cast(Interval, subscription.commitment_interval)
    )
    whole = whole_period_containing(period.start, cycle)
    starts_at, ends_at = subscription.starts_at, whole.end
    if subscription.trial_ends_at is not None:
        starts_at = max(starts_at, bucket_start(subscription.trial_ends_at))
    if subscription.ends_at is not None:
        ends_at = min(ends_at, subscription.ends_at)
    starts_at = max(starts_at, whole.start)
    if ends_at > period.end or starts_at >= ends_at:
        return None
    span = Period(starts_at, ends_at)
    return CommitmentPart(
        amount=subscription.commitment,
        span=span,
        share=share_of(
            span,
            whole,
            by=cast(ProratedBy, subscription.proration),
            time_zone=cycle.time_zone,
        ),
        charged_before=_charged_between(subscription, whole.start, period.start),
        time_zone=cycle.time_zone,
    )


def _charged_between(subscription: Subscription, start: datetime, end: datetime) -> Decimal:
    """What the invoices of the subscription's periods that began in this time, with their notes,
    came to."""
    invoices = Invoice.objects.filter(
        subscription=subscription,
        kind=Invoice.Kind.INVOICE,
        period_start__gte=start,
        period_start__lt=end,
    ).exclude(status=Invoice.Status.VOID)
    notes = Invoice.objects.filter(
        refers_to__in=invoices.values("pk"), finalized_at__isnull=False
    ).exclude(status=Invoice.Status.VOID)
    credit = Q(kind=Invoice.Kind.CREDIT_NOTE)
    parts = [
        (1, invoices.aggregate(total=Sum("total"))["total"]),
        (1, notes.exclude(credit).aggregate(total=Sum("total"))["total"]),
        (-1, notes.filter(credit).aggregate(total=Sum("total"))["total"]),
    ]
    return sum_amounts([sign * total for sign, total in parts if total is not None])


def carried_units(subscription: Subscription, period: Period, first: Terms) -> dict[str, Decimal]:
    """What earlier periods left of allowances that roll over, by the prices' codes; as their
    invoices show what was used. A period without the price had nothing to leave."""
    rolling = [
        each.spec for each in first.prices if each.spec.rollover_periods and each.spec.reading
    ]
    if not rolling:
        return {}
    used = _used_by_period(subscription, period, [each.code for each in rolling])
    carried = {}
    for spec in rolling:
        reading = spec.reading
        if reading is None:
            continue
        unit = unit_of(reading, spec.unit)
        included = EXACT.multiply(spec.allowance, Decimal(unit.raw_per_unit))
        left = carried_over(included, used.get(spec.code, []), spec.rollover_periods)
        carried[spec.code] = sum(left, ZERO)
    return carried


def _used_by_period(
    subscription: Subscription, period: Period, codes: Sequence[str]
) -> dict[str, list[Decimal]]:
    invoices = list(
        Invoice.objects.filter(
            subscription=subscription,
            kind=Invoice.Kind.INVOICE,
            period_start__lt=period.start,
        )
        .exclude(status=Invoice.Status.VOID)
        .order_by("period_start")
        .values_list("pk", "plan_version")
    )
    priced = set(
        Price.objects.filter(
            code__in=codes, plan_version__in={version for _, version in invoices}
        ).values_list("plan_version", "code")
    )
    lines = InvoiceLine.objects.filter(
        invoice__in=[invoice for invoice, _ in invoices],
        kind=InvoiceLine.Kind.USAGE,
        price__code__in=codes,
    )
    used: dict[tuple[UUID, str], Decimal] = {
        (invoice, code): raw
        for invoice, code, raw in lines.order_by()
        .values_list("invoice", "price__code")
        .annotate(raw=Sum("raw_quantity"))
    }
    return {
        code: [
            used.get((invoice, code), ZERO)
            for invoice, version in invoices
            if (version, code) in priced
        ]
        for code in codes
    }
