"""Bank transfers: which open invoices they probably pay, and recording what a person confirms."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from billing.core.bank_matching import Match, OpenInvoice, Transfer, best_match
from billing.core.lifecycle import PAYABLE
from billing.models import BillingDetails, Invoice, Payment
from billing.operations.lifecycle import record_payment
from tenants.scope import current_tenant_id


@dataclass(frozen=True, slots=True)
class Matched:
    """A transfer with the invoice that it probably pays; `recorded` where it was recorded before,
    whichever invoice it paid."""

    transfer: Transfer
    invoice: Invoice | None
    match: Match | None
    recorded: Payment | None


def match_transfers(transfers: Sequence[Transfer]) -> list[Matched]:
    """Each with its best match among the tenant's open invoices, in their order."""
    invoices = {str(each.pk): each for each in open_invoices()}
    names = _legal_names({each.customer_id for each in invoices.values()})
    candidates = [
        OpenInvoice(
            key,
            each.reference,
            each.open_amount,
            each.currency,
            (each.billed_to, each.customer.name, names.get(each.customer_id, "")),
        )
        for key, each in invoices.items()
    ]
    references = [each.reference for each in transfers]
    recorded = {
        each.reference: each
        for each in Payment.objects.filter(reference__in=references).select_related("invoice")
    }
    found = []
    for transfer in transfers:
        match = best_match(transfer, candidates)
        invoice = invoices[match.key] if match else None
        found.append(Matched(transfer, invoice, match, recorded.get(transfer.reference)))
    return found


def open_invoices() -> list[Invoice]:
    """Issued invoices and debit notes of which something is to be paid, oldest first."""
    rows = Invoice.objects.filter(status__in=PAYABLE).exclude(kind=Invoice.Kind.CREDIT_NOTE)
    ordered = rows.select_related("customer").order_by("due_at", "pk")
    return [each for each in ordered if each.open_amount]


def record_transfer(transfer: Transfer, invoice: Invoice, *, as_of: datetime) -> Payment:
    """Count a transfer towards an invoice, once: recorded before, that payment is returned, even if
    it was another invoice's. What is more than is open becomes the customer's credit. Raises what
    record_payment raises."""
    with transaction.atomic():
        _alone(transfer.reference)
        before = Payment.objects.filter(reference=transfer.reference).first()
        if before is not None:
            return before
        return record_payment(
            invoice,
            transfer.amount,
            received_on=transfer.booked_on,
            reference=transfer.reference,
            as_of=as_of,
            excess_to_credit=True,
        )


def _alone(reference: str) -> None:
    """Two who confirm one transfer for two invoices at once wait for each other."""
    with connection.cursor() as cursor:
        told = f"{current_tenant_id()} {reference}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [told])


def _legal_names(customer_ids: Collection[UUID]) -> dict[UUID, str]:
    rows = BillingDetails.objects.filter(customer__in=customer_ids)
    return dict(rows.values_list("customer", "legal_name"))
