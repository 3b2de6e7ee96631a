"""What webhooks are told of invoices and payments, in the transaction that changes them.

docs/webhooks.md states the data. It only grows: a member is added, and none changes its meaning.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.core.exact import plain
from billing.models import Invoice, Payment
from tenants.webhooks import Happening, emit, emit_all


def tell_of_invoices(event_type: str, invoices: Collection[Invoice], *, as_of: datetime) -> None:
    """Tell of invoices, each once for each type, all of them with one query where nobody listens.
    They have come to what they say."""
    emit_all(
        [
            Happening(
                event_type, f"{event_type}:{invoice.pk}", invoice_data(invoice), invoice.customer_id
            )
            for invoice in invoices
        ],
        as_of=as_of,
    )


def tell_of_invoice(event_type: str, invoice: Invoice, *, as_of: datetime) -> None:
    """As tell_of_invoices."""
    tell_of_invoices(event_type, [invoice], as_of=as_of)


def tell_of_payment(payment: Payment, *, as_of: datetime) -> None:
    """Tell that money was received."""
    tell_of_collecting(
        "payment.succeeded",
        str(payment.pk),
        payment.invoice,
        payment.amount,
        {
            "payment_id": str(payment.pk),
            "to_credit": plain(payment.to_credit),
            "received_on": payment.received_on.isoformat(),
            "reference": payment.reference,
        },
        as_of=as_of,
    )


def tell_of_collecting(
    event_type: str,
    key: str,
    invoice: Invoice,
    amount: Decimal,
    more: Mapping[str, str],
    *,
    as_of: datetime,
) -> None:
    """Tell how the collecting of an invoice went; `key` names what it is told of once, such as the
    attempt. `more` is what the type has beside the invoice and the amount."""
    emit(
        event_type,
        f"{event_type}:{key}",
        {
            "invoice_id": str(invoice.pk),
            "invoice_number": invoice.reference,
            "customer_id": str(invoice.customer_id),
            "amount": plain(amount),
            "currency": invoice.currency,
            **more,
        },
        customer=invoice.customer,
        as_of=as_of,
    )


def invoice_data(invoice: Invoice) -> dict[str, Any]:
    """An invoice as it is told: ids and amounts as text, moments in UTC."""
    return {
        "invoice_id": str(invoice.pk),
        "kind": invoice.kind,
        "issued_as": invoice.issued_as,
        "number": invoice.reference,
        "status": invoice.status,
        "customer_id": str(invoice.customer_id),
        "customer_reference": invoice.customer_reference,
        "subscription_id": str(invoice.subscription_id),
        "refers_to": None if invoice.refers_to_id is None else str(invoice.refers_to_id),
        "period_start": _moment(invoice.period_start),
        "period_end": _moment(invoice.period_end),
        "currency": invoice.currency,
        "total": plain(invoice.total),
        "tax_total": plain(invoice.tax_total),
        "gross": plain(invoice.gross),
        "open_amount": plain(invoice.open_amount),
        "due_at": None if invoice.due_at is None else _moment(invoice.due_at),
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
