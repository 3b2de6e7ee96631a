"""What earlier periods of a subscription came to, by their invoices, the notes on them and late
usage on later invoices. A commitment, an allowance that rolls over and a discount for some periods
go on from there.

Each takes as `late` the lines of late usage that a document bills which is being made: they count
as if they were billed already.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum
from django.db.models.fields.json import KeyTextTransform

from billing.core.exact import EXACT, ZERO
from billing.core.money import sum_amounts
from billing.core.periods import Period
from billing.line_copy import Line
from billing.models import Discount, Invoice, InvoiceLine, Price, Subscription
from billing.queries.periods import period_of
from tenants.models import Customer


def charged_between(
    subscription: Subscription, start: datetime, end: datetime, late: Sequence[Line] = ()
) -> Decimal:
    """What the invoices of the subscription's periods that began in this time came to, with their
    notes, and with their late usage wherever it was billed."""
    documents = Invoice.objects.filter(
        subscription=subscription, period_start__gte=start, period_start__lt=end
    )
    kinds = _standing(documents).order_by().values_list("kind").annotate(Sum("total"))
    totals: dict[str, Decimal] = dict(kinds)
    taken_off = totals.pop(Invoice.Kind.CREDIT_NOTE, ZERO)
    invoices = _standing(documents.filter(kind=Invoice.Kind.INVOICE))
    changes = InvoiceLine.objects.filter(kind=InvoiceLine.Kind.LATE_USAGE)
    of_others = _total(changes.filter(invoice__in=invoices))
    ids = list(invoices.values_list("pk", flat=True))
    elsewhere = _total(_billed_later(changes, subscription.customer_id, ids))
    here = [Decimal(line.amount) for line in _restating(late, ids)]
    return sum_amounts(
        [*totals.values(), taken_off.copy_negate(), of_others.copy_negate(), elsewhere, *here]
    )


def used_by_period(
    subscription: Subscription, before: datetime, codes: Sequence[str], late: Sequence[Line] = ()
) -> list[tuple[Period, dict[str, Decimal] | None]]:
    """The raw quantities of the prices with these codes in the invoiced periods that began before
    this instant, oldest first; None of a period whose invoice was taken back."""
    invoices = list(
        Invoice.objects.filter(
            subscription=subscription, kind=Invoice.Kind.INVOICE, period_start__lt=before
        ).order_by("period_start")
    )
    standing = [each.pk for each in invoices if each.status != Invoice.Status.VOID]
    used = _used_by_invoice(subscription.customer_id, standing, codes, late)
    return [
        (
            period_of(each),
            None if each.status == Invoice.Status.VOID else dict(used[each.pk]),
        )
        for each in invoices
    ]


def discounted_periods(
    customer: Customer,
    before: datetime,
    discount_ids: Collection[str],
    late: Sequence[Line] = (),
) -> Counter[str]:
    """In how many of the customer's invoiced periods that began before this instant each discount
    was taken: counted again each time, so that rating a period twice comes to the same."""
    if not discount_ids:
        return Counter()
    earlier = Invoice.objects.filter(
        customer=customer, kind=Invoice.Kind.INVOICE, period_start__lt=before
    )
    invoices = list(earlier.exclude(status=Invoice.Status.VOID).values_list("pk", flat=True))
    taken: defaultdict[tuple[str, UUID], Decimal] = defaultdict(Decimal)
    for (invoice, discount), amount in _by_invoice(
        customer.pk,
        invoices,
        _discount_lines(discount_ids),
        InvoiceLine.Kind.DISCOUNT,
        "discount",
        "amount",
    ):
        taken[discount, invoice] = EXACT.add(taken[discount, invoice], amount)
    for line in _restating(late, invoices):
        if line.facts.get("discount") in discount_ids:
            key = str(line.facts["discount"]), UUID(line.facts["restates"])
            taken[key] = EXACT.add(taken[key], Decimal(line.amount))
    return Counter(discount for (discount, _), amount in taken.items() if amount)


def has_been_taken(discount: Discount) -> bool:
    """Whether it stands on an invoice, a draft's or an issued one's, or on a note."""
    return _discount_lines([str(discount.pk)]).exists()


def _discount_lines(discount_ids: Collection[str]) -> "QuerySet[InvoiceLine]":
    """In the words of the index, which has these kinds alone."""
    kinds = [InvoiceLine.Kind.DISCOUNT, InvoiceLine.Kind.LATE_USAGE]
    named = InvoiceLine.objects.annotate(discount=KeyTextTransform("discount", "facts"))
    return named.filter(kind__in=kinds, discount__in=list(discount_ids))


def _used_by_invoice(
    customer_id: UUID,
    invoice_ids: Collection[UUID],
    codes: Sequence[str],
    late: Sequence[Line],
) -> defaultdict[UUID, dict[str, Decimal]]:
    lines = InvoiceLine.objects.filter(price__code__in=codes)
    used: defaultdict[UUID, dict[str, Decimal]] = defaultdict(dict)
    billed = _by_invoice(
        customer_id, invoice_ids, lines, InvoiceLine.Kind.USAGE, "price__code", "raw_quantity"
    )
    for (invoice, code), raw in (*billed, *_used_late(invoice_ids, codes, late)):
        used[invoice][code] = EXACT.add(used[invoice].get(code, ZERO), raw)
    return used


def _used_late(
    invoice_ids: Collection[UUID], codes: Sequence[str], late: Sequence[Line]
) -> Iterable[tuple[tuple[UUID, str], Decimal]]:
    lines = [
        line
        for line in _restating(late, invoice_ids)
        if line.facts["of_kind"] == InvoiceLine.Kind.USAGE
    ]
    if not lines:
        return
    priced = Price.objects.filter(pk__in={line.price_id for line in lines}, code__in=codes)
    code_of = dict(priced.values_list("pk", "code"))
    for line in lines:
        if line.price_id in code_of:
            key = UUID(line.facts["restates"]), code_of[line.price_id]
            yield key, Decimal(line.raw_quantity)


def _restating(late: Sequence[Line], invoice_ids: Iterable[UUID]) -> list[Line]:
    """Those of the lines that bill these invoices' periods."""
    ids = {str(each) for each in invoice_ids} if late else ()
    return [line for line in late if line.facts["restates"] in ids]


def _by_invoice(
    customer_id: UUID,
    invoice_ids: Collection[UUID],
    lines: "QuerySet[InvoiceLine]",
    kind: str,
    name: str,
    figure: str,
) -> list[tuple[tuple[UUID, str], Decimal]]:
    """The figure's sums by the invoice whose period was billed and by what is called `name`, of
    lines of the kind and of those that changed them later: several of one key are to be added."""
    lines = lines.order_by()
    own = lines.filter(invoice__in=invoice_ids, kind=kind)
    changed = lines.filter(kind=InvoiceLine.Kind.LATE_USAGE, facts__of_kind=kind)
    noted = changed.filter(invoice__in=_standing(Invoice.objects.filter(refers_to__in=invoice_ids)))
    later = _billed_later(changed, customer_id, invoice_ids)
    found = [
        ((invoice, text), value)
        for invoice, text, value in own.values_list("invoice", name).annotate(Sum(figure))
    ]
    for invoice, note, text, value in noted.values_list(
        "invoice__refers_to", "invoice__kind", name
    ).annotate(Sum(figure)):
        signed = value.copy_negate() if note == Invoice.Kind.CREDIT_NOTE else value
        found.append(((invoice, text), signed))
    restated = later.annotate(restated=KeyTextTransform("restates", "facts"))
    for invoice, text, value in restated.values_list("restated", name).annotate(Sum(figure)):
        found.append(((UUID(invoice), text), value))
    return found


def _billed_later(
    lines: "QuerySet[InvoiceLine]", customer_id: UUID, invoice_ids: Iterable[UUID]
) -> "QuerySet[InvoiceLine]":
    """Of these lines of late usage those that bill these invoices' periods on the customer's issued
    invoices. A draft's are left out: they are rated again with the draft."""
    issued = Invoice.objects.filter(
        customer=customer_id, kind=Invoice.Kind.INVOICE, finalized_at__isnull=False
    )
    restated = [str(each) for each in invoice_ids]
    return lines.filter(invoice__in=_standing(issued), facts__restates__in=restated)


def _total(lines: "QuerySet[InvoiceLine]") -> Decimal:
    return lines.order_by().aggregate(total=Sum("amount"))["total"] or ZERO


def _standing(documents: "QuerySet[Invoice]") -> "QuerySet[Invoice]":
    """Without what was taken back, and without the notes that did so."""
    void = Invoice.Status.VOID
    return documents.exclude(status=void).exclude(refers_to__isnull=False, refers_to__status=void)
