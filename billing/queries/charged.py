"""What earlier periods of a subscription came to, by their invoices and the notes on them. A
commitment and an allowance that rolls over go on from there."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum

from billing.core.exact import EXACT, ZERO
from billing.core.money import sum_amounts
from billing.core.periods import Period
from billing.models import Invoice, InvoiceLine, Price, Subscription


def charged_between(subscription: Subscription, start: datetime, end: datetime) -> Decimal:
    """What the invoices of the subscription's periods that began in this time came to, with their
    notes."""
    documents = Invoice.objects.filter(
        subscription=subscription, period_start__gte=start, period_start__lt=end
    )
    kinds = _standing(documents).order_by().values_list("kind").annotate(Sum("total"))
    totals: dict[str, Decimal] = dict(kinds)
    taken_off = totals.pop(Invoice.Kind.CREDIT_NOTE, ZERO)
    return sum_amounts([*totals.values(), taken_off.copy_negate()])


def used_by_period(
    subscription: Subscription, period: Period, codes: Sequence[str]
) -> dict[str, list[Decimal]]:
    """The raw quantities of the prices with these codes, oldest period first: of the periods
    before this one that had the price."""
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
    used = _used_by_invoice({invoice for invoice, _ in invoices}, codes)
    return {
        code: [
            used.get((invoice, code), ZERO)
            for invoice, version in invoices
            if (version, code) in priced
        ]
        for code in codes
    }


def _used_by_invoice(
    invoice_ids: Collection[UUID], codes: Sequence[str]
) -> dict[tuple[UUID, str], Decimal]:
    """The raw quantities of the prices with these codes on each invoice, with its notes."""
    lines = InvoiceLine.objects.filter(price__code__in=codes).order_by()
    own = lines.filter(invoice__in=invoice_ids, kind=InvoiceLine.Kind.USAGE)
    noted = lines.filter(
        invoice__in=_standing(Invoice.objects.filter(refers_to__in=invoice_ids)),
        kind=InvoiceLine.Kind.LATE_USAGE,
    )
    used: dict[tuple[UUID, str], Decimal] = {
        (invoice, code): raw
        for invoice, code, raw in own.values_list("invoice", "price__code").annotate(
            raw=Sum("raw_quantity")
        )
    }
    changes = noted.values_list("invoice__refers_to", "invoice__kind", "price__code")
    for invoice, kind, code, raw in changes.annotate(raw=Sum("raw_quantity")):
        signed = raw.copy_negate() if kind == Invoice.Kind.CREDIT_NOTE else raw
        used[invoice, code] = EXACT.add(used.get((invoice, code), ZERO), signed)
    return used


def _standing(documents: "QuerySet[Invoice]") -> "QuerySet[Invoice]":
    """Without what was taken back, and without the credit notes that did so."""
    void = Invoice.Status.VOID
    return documents.exclude(status=void).exclude(refers_to__isnull=False, refers_to__status=void)
