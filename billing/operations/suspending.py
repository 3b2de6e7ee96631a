"""Suspending a customer for an unpaid invoice, and letting them go on.

Nothing of theirs is touched here: webhooks tell whoever runs their applications, and
`billing.queries.dunning.is_suspended` answers whoever asks.
"""

from datetime import datetime

from billing.models import Invoice, Suspension
from tenants.webhooks import emit


def suspend(invoice: Invoice, *, as_of: datetime) -> bool:
    """Suspend the invoice's customer, inside a transaction that holds the invoice; whether they
    were not suspended for it already. It is told when it is the customer's first."""
    others = Suspension.objects.filter(customer=invoice.customer_id, ends_at__isnull=True)
    is_first = not others.exists()
    made, created = Suspension.objects.get_or_create(
        invoice=invoice,
        ends_at=None,
        defaults={"customer": invoice.customer, "starts_at": as_of},
    )
    if created and is_first:
        _tell("customer.suspended", made, as_of)
    return created


def end_suspension(invoice: Invoice, why: str, *, as_of: datetime) -> bool:
    """End what the customer was suspended for of this invoice; whether they were. It is told when
    nothing else keeps them suspended."""
    open_one = (
        Suspension.objects.select_for_update(of=("self",))
        .select_related("customer")
        .filter(invoice=invoice, ends_at__isnull=True)
        .first()
    )
    if open_one is None:
        return False
    open_one.ends_at, open_one.ended_because = as_of, why[:200]
    open_one.save(update_fields=["ends_at", "ended_because"])
    left = Suspension.objects.filter(customer=open_one.customer_id, ends_at__isnull=True)
    if not left.exists():
        _tell("customer.resumed", open_one, as_of)
    return True


def _tell(event_type: str, of: Suspension, as_of: datetime) -> None:
    emit(
        event_type,
        f"{event_type}:{of.pk}",
        {
            "customer_id": str(of.customer_id),
            "customer_reference": of.customer.reference,
            "invoice_id": str(of.invoice_id),
            "because": of.ended_because or "an invoice is not paid",
        },
        customer=of.customer,
        as_of=as_of,
    )
