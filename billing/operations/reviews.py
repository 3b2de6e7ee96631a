"""Drafts looked through before they are issued: core/anomalies.py says what is unusual."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from billing.core.anomalies import PERIODS_LOOKED_AT, Draft, marks_of
from billing.core.lifecycle import DRAFTS
from billing.models import Invoice, InvoiceLine, InvoiceReview
from metering.models import Assignment
from metering.queries import completeness

_AT_ONCE: Final = 500
_PPM: Final = 1_000_000
# What takes off an amount beside usage that costs less than nothing.
_TAKES_OFF: Final = ("discount", "late_usage", "correction")


def review_drafts(*, as_of: datetime, among: Collection[UUID] | None = None) -> int:
    """Mark what is unusual about the tenant's drafts, or some of them, as they are now; how many
    were looked at. The same again changes nothing but the time."""
    drafts = Invoice.objects.filter(status__in=DRAFTS, kind=Invoice.Kind.INVOICE)
    if among is not None:
        drafts = drafts.filter(pk__in=among)
    late = _late_hosts(as_of)
    looked_at = 0
    rows = iter(drafts.select_related("customer").order_by("pk").iterator(_AT_ONCE))
    while chunk := list(islice(rows, _AT_ONCE)):
        with transaction.atomic():
            _keep(chunk, late, as_of)
        looked_at += len(chunk)
    return looked_at


def review_new_drafts(*, as_of: datetime, marked_before: datetime) -> int:
    """As review_drafts, of those that nobody has looked at since `marked_before`."""
    fresh = InvoiceReview.objects.filter(marked_at__gte=marked_before)
    drafts = Invoice.objects.filter(status__in=DRAFTS).exclude(pk__in=fresh.values("invoice"))
    waiting = list(drafts.values_list("pk", flat=True))
    return review_drafts(as_of=as_of, among=waiting) if waiting else 0


# The hosts that are silent and bill to a customer: up to when each has delivered.
_Late = Mapping[UUID, Sequence[tuple[str, datetime | None]]]


def _late_hosts(as_of: datetime) -> _Late:
    silent = {host.host_id: host for host in completeness(as_of).silent_hosts}
    found: defaultdict[UUID, set[tuple[str, datetime | None]]] = defaultdict(set)
    billed = Assignment.objects.filter(application__instances__host__in=silent)
    for customer, host in billed.values_list("customer", "application__instances__host").distinct():
        if host in silent:
            found[customer].add((silent[host].name, silent[host].complete_to))
    return {customer: sorted(hosts, key=lambda host: host[0]) for customer, hosts in found.items()}


def _keep(drafts: Sequence[Invoice], late: _Late, as_of: datetime) -> None:
    earlier, lines = _earlier(drafts), _lines(drafts)
    InvoiceReview.objects.bulk_create(
        [_review(draft, earlier, lines[draft.pk], late, as_of) for draft in drafts],
        update_conflicts=True,
        unique_fields=["tenant", "invoice"],
        update_fields=["severity", "marks", "marked_at"],
    )


def _review(
    draft: Invoice,
    earlier: Mapping[UUID, Sequence[Invoice]],
    lines: "_Lines",
    late: _Late,
    as_of: datetime,
) -> InvoiceReview:
    before = [each for each in earlier[draft.customer_id] if each.period_end <= draft.period_start]
    totals = [each.total for each in before if each.currency == draft.currency]
    marks = marks_of(
        Draft(
            total=draft.total,
            currency=draft.currency,
            earlier=totals[:PERIODS_LOOKED_AT],
            plan=draft.plan_label,
            plan_before=before[0].plan_label if before else "",
            covered_ppm=lines.covered_ppm,
            discounted=lines.taken_off,
            late_hosts=[
                name
                for name, complete_to in late.get(draft.customer_id, ())
                if complete_to is None or complete_to < draft.period_end
            ],
        )
    )
    return InvoiceReview(
        invoice=draft,
        severity=max((mark.severity for mark in marks), default=0),
        marks=[[mark.kind, int(mark.severity), mark.words] for mark in marks],
        marked_at=as_of,
    )


def _earlier(drafts: Sequence[Invoice]) -> Mapping[UUID, Sequence[Invoice]]:
    """The invoices of the drafts' customers, void ones left out, the newest period first."""
    customers = {draft.customer_id for draft in drafts}
    invoices = (
        Invoice.objects.filter(customer__in=customers, kind=Invoice.Kind.INVOICE)
        .exclude(Q(status=Invoice.Status.VOID))
        .only("customer_id", "period_start", "period_end", "total", "currency", "plan_label")
        .order_by("-period_start")
    )
    found: defaultdict[UUID, list[Invoice]] = defaultdict(list)
    for invoice in invoices.iterator(2_000):
        found[invoice.customer_id].append(invoice)
    return found


class _Lines:
    """What a draft's lines say together."""

    def __init__(self) -> None:
        self.covered_ppm: int | None = None
        self.taken_off = Decimal(0)

    def add(self, kind: str, amount: Decimal, facts: Mapping[str, object]) -> None:
        if kind in _TAKES_OFF and amount < 0:
            self.taken_off -= amount
        coverage = facts.get("coverage")
        if not isinstance(coverage, Mapping) or not int(coverage["expected_s"]):
            return
        ppm = int(coverage["measured_s"]) * _PPM // int(coverage["expected_s"])
        self.covered_ppm = ppm if self.covered_ppm is None else min(self.covered_ppm, ppm)


def _lines(drafts: Sequence[Invoice]) -> Mapping[UUID, _Lines]:
    found: defaultdict[UUID, _Lines] = defaultdict(_Lines)
    for invoice, kind, amount, facts in _line_rows(drafts):
        found[invoice].add(kind, amount, facts)
    return found


def _line_rows(
    drafts: Sequence[Invoice],
) -> "Iterator[tuple[UUID, str, Decimal, Mapping[str, object]]]":
    lines = InvoiceLine.objects.filter(invoice__in=[draft.pk for draft in drafts])
    return lines.values_list("invoice", "kind", "amount", "facts").iterator(2_000)
