"""What issued invoices lack of the usage that is known now."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from billing.line_copy import NewLine
from billing.models import (
    BillingSettings,
    Discount,
    Invoice,
    LateUsage,
    Price,
    PriceOverride,
)
from billing.queries.differences import Restated, lines_of, rated_anew
from billing.queries.parties import billing_settings

_VOID: Final = Invoice.Status.VOID
_NEXT_INVOICE: Final = BillingSettings.LateUsage.NEXT_INVOICE


def late_usage_deadline(invoice: Invoice, settings: BillingSettings) -> datetime:
    """Usage of the invoice's period that becomes known from here on is not billed any more."""
    return invoice.period_end + timedelta(days=settings.late_usage_days)


def changed_invoices(*, noted_before: datetime | None) -> list[Invoice]:
    """Issued invoices with usage that changed since, oldest period first: those on which nothing
    more has come since `noted_before`, or all. Found by their marks; no history is rated."""
    pending = (
        LateUsage.objects.filter(refused_at__isnull=True, invoice__finalized_at__isnull=False)
        # Usage of a period that was taken back is not billed, but late usage of it may have been.
        .exclude(invoice__status=_VOID, hour__isnull=False)
        .values("invoice")
        .annotate(last=Max("noted_at"))
    )
    if noted_before is not None:
        pending = pending.filter(last__lt=noted_before)
    return list(
        Invoice.objects.filter(pk__in=pending.values("invoice"))
        .select_related(
            "customer", "plan_version__plan", "subscription__customer", "subscription__plan"
        )
        .order_by("period_start", "pk")
    )


def issued_dependents(invoice: Invoice) -> "QuerySet[Invoice]":
    """The issued invoices of later periods that go on from this one: by a commitment or an
    allowance that rolls over, of its subscription; by a discount for so many periods, of its
    customer."""
    own = Q(subscription=invoice.subscription_id)
    return (
        Invoice.objects.filter(
            own & (Q(subscription__commitment__isnull=False) | _rolls_over()) | _counts_periods(),
            kind=Invoice.Kind.INVOICE,
            customer=invoice.customer_id,
            finalized_at__isnull=False,
            period_start__gte=invoice.period_end,
        )
        .exclude(status=_VOID)
        .order_by("period_start", "pk")
    )


def _rolls_over() -> Q:
    """Whether an allowance of the period is one that rolls over, the plan's or the customer's own;
    of an own price it is enough that it might."""
    prices = Price.objects.filter(plan_version=OuterRef("plan_version"), rollover_periods__gt=0)
    overrides = PriceOverride.objects.filter(
        customer=OuterRef("customer"), definition__has_key="rollover_periods"
    )
    return Q(Exists(prices)) | Q(Exists(overrides))


def _counts_periods() -> Q:
    limited = Discount.objects.exclude(duration=Discount.Duration.FOREVER)
    whose = (
        Q(customer=OuterRef("customer"))
        | Q(subscription=OuterRef("subscription"))
        | Q(plan=OuterRef("subscription__plan"))
    )
    return Q(Exists(limited.filter(whose)))


def refused_late_usage() -> "QuerySet[LateUsage]":
    """What came too late to be billed, and is on no document yet, newest first."""
    return (
        LateUsage.objects.filter(refused_at__isnull=False)
        .select_related("invoice__customer", "application")
        .order_by("-noted_at")
    )


def invoices_restated_by(draft: Invoice) -> list[Invoice]:
    """The issued invoices whose late usage belongs on this draft by the tenant's policy: those of
    its customer's earlier periods with marks that are not past the deadline."""
    settings = billing_settings()
    if draft.kind != Invoice.Kind.INVOICE or settings.late_usage != _NEXT_INVOICE:
        return []
    accepted = LateUsage.objects.filter(
        _in_time(settings),
        invoice__customer=draft.customer_id,
        refused_at__isnull=True,
    ).exclude(invoice__status=_VOID, hour__isnull=False)
    earlier = Invoice.objects.filter(
        pk__in=accepted.values("invoice"),
        kind=Invoice.Kind.INVOICE,
        currency=draft.currency,
        finalized_at__isnull=False,
        period_end__lte=draft.period_start,
    ).select_related(
        "customer", "plan_version__plan", "subscription__customer", "subscription__plan"
    )
    return sorted(earlier, key=_in_order)


def invoices_looked_at(draft: Invoice) -> list[Invoice]:
    """Those, and the issued ones in between that go on from one of them: all that late_periods may
    rate."""
    waiting = {each.pk: each for each in invoices_restated_by(draft)}
    found: dict[UUID, Invoice] = {}
    while waiting:
        pk, each = waiting.popitem()
        found[pk] = each
        later = _dependents_before(draft, each)
        waiting |= {other.pk: other for other in later if other.pk not in found}
    return sorted(found.values(), key=_in_order)


def _in_time(settings: BillingSettings) -> Q:
    """What an earlier period's change comes to, of no hour, was accepted with that change."""
    within = timedelta(days=settings.late_usage_days)
    return (
        Q(hour__isnull=True)
        | Q(accepted_at__isnull=False)
        | Q(noted_at__lt=F("invoice__period_end") + within)
    )


def _in_order(invoice: Invoice) -> tuple[datetime, UUID]:
    return invoice.period_start, invoice.pk


def late_periods(draft: Invoice, among: Collection[Invoice] | None = None) -> list[Restated]:
    """The earlier periods whose late usage belongs on a draft, with the lines that bill it, and
    the issued ones that go on from those, as far as that changes them; of these invoices alone,
    if they are given. The oldest period is rated first, and each by what those before it come
    to."""
    first = invoices_restated_by(draft) if among is None or among else []
    waiting = {each.pk: each for each in first if among is None or each in among}
    found: list[Restated] = []
    while waiting:
        oldest = min(waiting.values(), key=_in_order)
        del waiting[oldest.pk]
        restated = rated_anew(oldest, late=lines_of(found))
        found.append(restated)
        if restated.lines:
            waiting |= {each.pk: each for each in _dependents_before(draft, oldest)}
    return found


def _dependents_before(draft: Invoice, changed: Invoice) -> "QuerySet[Invoice]":
    return issued_dependents(changed).filter(
        currency=draft.currency, period_end__lte=draft.period_start
    )


def late_lines_of_many(drafts: Sequence[Invoice]) -> list[list[NewLine]]:
    """The lines of late_periods, of drafts that need not be stored yet; customers of whom nothing
    came late are passed over together."""
    if billing_settings().late_usage != _NEXT_INVOICE:
        return [[] for _ in drafts]
    marks = LateUsage.objects.filter(
        refused_at__isnull=True, invoice__customer__in={each.customer_id for each in drafts}
    ).exclude(invoice__status=_VOID, hour__isnull=False)
    marked = set(marks.values_list("invoice__customer", flat=True))
    return [lines_of(late_periods(each)) if each.customer_id in marked else [] for each in drafts]
