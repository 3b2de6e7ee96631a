"""What of an invoice is disputed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Prefetch

from billing.core.disputes import PENDING, undisputed
from billing.core.money import sum_amounts
from billing.models import Dispute, DisputeMessage, Invoice, InvoiceLine
from tenants.models import Customer


def is_paused(invoice: Invoice) -> bool:
    """Whether collecting it waits, because something of it is disputed."""
    return Dispute.objects.filter(invoice=invoice, status__in=PENDING).exists()


def paused_among(invoices: Collection[Invoice]) -> frozenset[UUID]:
    """The ids of those whose collecting waits, with one query."""
    pending = Dispute.objects.filter(invoice__in=invoices, status__in=PENDING)
    return frozenset(pending.values_list("invoice_id", flat=True))


@dataclass(frozen=True, slots=True)
class Contested:
    """How much of an invoice is disputed, and what of its open amount is not."""

    disputed: Decimal
    undisputed: Decimal


def contested(invoice: Invoice) -> Contested:
    """Both are with tax; of an invoice that nobody disputes all that is open is undisputed."""
    pending = Dispute.objects.filter(invoice=invoice, status__in=PENDING)
    amounts = list(pending.values_list("amount", flat=True))
    return Contested(sum_amounts(amounts), undisputed(invoice.open_amount, amounts))


def disputes_of(invoice: Invoice) -> list[Dispute]:
    """All of them with their lines, newest first."""
    return list(
        Dispute.objects.filter(invoice=invoice)
        .select_related("line", "note", "grant")
        .order_by("-opened_at", "-pk")
    )


def disputes_by_line(invoice: Invoice) -> Mapping[UUID, Dispute]:
    """The latest of each line that has one."""
    return {each.line_id: each for each in reversed(disputes_of(invoice))}


def dispute_of(customer: Customer, dispute_id: UUID) -> Dispute | None:
    """The customer's own with its invoice and line, or none."""
    own = Dispute.objects.filter(invoice__customer=customer, pk=dispute_id)
    return own.select_related("invoice", "line", "note", "grant").first()


def threads_of(line: InvoiceLine) -> list[Dispute]:
    """All disputes of a line with what was said, the newest first; two queries."""
    return list(
        Dispute.objects.filter(line=line)
        .select_related("note", "grant")
        .prefetch_related(Prefetch("messages", DisputeMessage.objects.order_by("written_at", "id")))
        .order_by("-opened_at", "-pk")
    )
