"""Writing entries to the ledger. What each means stands in billing.core.entries."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing.core import ledger
from billing.core.entries import Event
from billing.models import CreditGrant, Invoice, JournalEntry, Posting
from tenants.models import Customer


def post(
    entry: ledger.JournalEntry | None,
    source_id: UUID,
    *,
    invoice: Invoice | None = None,
    grant: CreditGrant | None = None,
) -> JournalEntry | None:
    """The stored entry: written now, or the one that its kind and source have already.

    None where there is nothing to post. Two workers that post the same at once make one entry.
    """
    if entry is None:
        return None
    new = JournalEntry(
        kind=entry.kind,
        source_id=source_id,
        customer_id=UUID(entry.postings[0].customer),
        invoice=invoice,
        grant=grant,
        occurred_at=entry.occurred_at,
        description=entry.description,
    )
    with transaction.atomic():
        # Where another transaction is writing the same entry, this waits for it to end.
        JournalEntry.objects.bulk_create([new], ignore_conflicts=True)
        stored = JournalEntry.objects.get(kind=entry.kind, source_id=source_id)
        if stored.pk == new.pk:
            Posting.objects.bulk_create(_rows(stored, entry))
        return stored


def lock_customer(customer_id: UUID) -> Customer:
    """Everything that moves a customer's money takes its turn here, so that what is left of credit
    and what is open of an invoice stay as they were read."""
    return Customer.objects.select_for_update(no_key=True).get(pk=customer_id)


def event(customer_id: UUID, currency: str, occurred_at: datetime, description: str) -> Event:
    return Event(str(customer_id), currency, occurred_at, description)


def _rows(stored: JournalEntry, entry: ledger.JournalEntry) -> list[Posting]:
    return [
        Posting(
            entry=stored,
            position=position,
            account=posting.account,
            customer_id=UUID(posting.customer),
            currency=posting.currency,
            amount=posting.amount,
        )
        for position, posting in enumerate(entry.postings, start=1)
    ]
