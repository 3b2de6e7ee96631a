"""Posting what is issued, paid and given up. Each is idempotent by its source, and may be called
inside a larger transaction: the entry is then committed with what it stands for, or not at all."""

from datetime import UTC, datetime, time
from uuid import UUID

from django.db import transaction

from billing.core.entries import issued, moved
from billing.core.exact import EXACT, ZERO
from billing.core.ledger import Account, EntryKind
from billing.models import Invoice, JournalEntry, Payment
from billing.operations.credit import keep_surplus, return_credit
from billing.operations.journal import event, lock_customer, post
from billing.queries.ledger import posted_to


class DocumentNotIssued(Exception):
    """A draft owes nothing; it is posted once it is issued."""


def post_issued(invoice: Invoice) -> JournalEntry | None:
    """Post an issued invoice, credit note or debit note: the customer owes its gross, or less.

    What a credit note takes off beyond what is open goes back to the credit that paid the invoice,
    and then to the customer as paid credit. None for a document of nothing. Raises
    DocumentNotIssued.
    """
    if invoice.finalized_at is None:
        raise DocumentNotIssued(f"{invoice} has no number yet; finalize it first")
    is_credit = invoice.kind == Invoice.Kind.CREDIT_NOTE
    happened = event(invoice.customer_id, invoice.currency, invoice.finalized_at, str(invoice))
    gross, tax = invoice.gross, invoice.tax_total
    if is_credit:
        gross, tax = EXACT.minus(gross), EXACT.minus(tax)
    with transaction.atomic():
        lock_customer(invoice.customer_id)
        corrected = settled_document(invoice)
        entry = post(issued(happened, gross=gross, tax=tax), invoice.pk, invoice=corrected)
        _settle(
            corrected,
            invoice.pk,
            as_of=invoice.finalized_at,
            what=str(invoice),
            note=invoice if is_credit else None,
        )
        return entry


def post_payment(payment: Payment) -> JournalEntry | None:
    """Post money that was received for an invoice. What is more than was open becomes the
    customer's paid credit; of what was written off, as much is recovered."""
    invoice = payment.invoice
    as_of = datetime.combine(payment.received_on, time.min, tzinfo=UTC)
    if invoice.finalized_at is not None:
        # A day has no hour: on a statement the invoice stands before its payment.
        as_of = max(as_of, invoice.finalized_at)
    what = f"Payment {payment.reference} of {invoice}"
    happened = event(invoice.customer_id, invoice.currency, as_of, what)
    with transaction.atomic():
        lock_customer(invoice.customer_id)
        entry = post(
            moved(EntryKind.PAYMENT, happened, payment.amount), payment.pk, invoice=invoice
        )
        _settle(invoice, payment.pk, as_of=as_of, what=what)
        return entry


def post_write_off(invoice: Invoice, *, as_of: datetime) -> JournalEntry | None:
    """Give up what is open of an invoice or debit note; None where nothing is."""
    with transaction.atomic():
        lock_customer(invoice.customer_id)
        still_open = posted_to(invoice).get(Account.RECEIVABLE, ZERO)
        if still_open <= 0:
            return JournalEntry.objects.filter(
                kind=EntryKind.WRITE_OFF, source_id=invoice.pk
            ).first()
        what = f"{invoice} is uncollectible"
        happened = event(invoice.customer_id, invoice.currency, as_of, what)
        return post(moved(EntryKind.WRITE_OFF, happened, still_open), invoice.pk, invoice=invoice)


def settled_document(invoice: Invoice) -> Invoice:
    """Whose open amount a document changes: a credit note its invoice's, any other its own."""
    if invoice.kind == Invoice.Kind.CREDIT_NOTE and invoice.refers_to is not None:
        return invoice.refers_to
    return invoice


def _settle(
    invoice: Invoice, source_id: UUID, *, as_of: datetime, what: str, note: Invoice | None = None
) -> None:
    """See that less than nothing is never open: what was written off is recovered first, then
    credit that paid gets back what a note takes off, and what is still left is kept as credit."""
    posted = posted_to(invoice)
    surplus = EXACT.minus(posted.get(Account.RECEIVABLE, ZERO))
    recovered = min(posted.get(Account.WRITE_OFF, ZERO), surplus)
    if recovered > 0:
        happened = event(invoice.customer_id, invoice.currency, as_of, f"{what}: recovered")
        post(moved(EntryKind.RECOVERY, happened, recovered), source_id, invoice=invoice)
        surplus = EXACT.subtract(surplus, recovered)
    if surplus > 0 and note is not None:
        returned = return_credit(invoice, note, surplus, as_of=as_of)
        surplus = EXACT.subtract(surplus, returned)
    if surplus > 0:
        keep_surplus(invoice, source_id, surplus, as_of=as_of, note=f"Surplus of {what}")
