"""What the ledger says: open amounts, trial balance, statements, revenue. From postings alone."""

from decimal import Decimal

from django.db.models import Sum

from billing.models import Invoice, Posting


def posted_to(invoice: Invoice) -> dict[str, Decimal]:
    """What stands on each account for one invoice or debit note: debits above zero."""
    return dict(
        Posting.objects.filter(entry__invoice=invoice)
        .order_by()
        .values_list("account")
        .annotate(Sum("amount"))
    )
