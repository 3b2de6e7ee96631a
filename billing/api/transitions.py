"""What happens to an invoice: review, sending, payments, taking back, giving up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Final, TypeVar
from uuid import UUID

from ninja import Query, Status
from pydantic import Field, StringConstraints

from billing.api.fields import DecimalText, Exact
from billing.api.invoices import InvoiceOut, shown_invoice, visible_invoice
from billing.models import Invoice, Payment
from billing.operations import (
    DocumentNotIssued,
    InvoiceNotPayable,
    InvoiceNotVoidable,
    PaymentDayNotUsable,
    PaymentDiffers,
    PaymentExceedsOpen,
    PaymentNotUsable,
    ReasonMissing,
    TransitionNotAllowed,
    begin_review,
    mark_sent,
    record_payment,
    void_invoice,
    write_off,
)
from tenants.api.caller import ApiRequest
from tenants.api.errors import conflict, unprocessable
from tenants.api.fields import PRINTABLE, Given, Instant, Taken, example
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources

transitions = Resources()

Shown = TypeVar("Shown")

Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=PRINTABLE)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=PRINTABLE)]

_CONFLICTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (DocumentNotIssued, "invoice-not-issued"),
    (InvoiceNotPayable, "invoice-not-payable"),
    (InvoiceNotVoidable, "invoice-not-voidable"),
    (PaymentDiffers, "payment-differs"),
    (PaymentExceedsOpen, "payment-exceeds-open"),
    (TransitionNotAllowed, "transition-not-allowed"),
)


class VoidIn(Taken):
    model_config = example({"reason": "Billed to the wrong customer."})

    reason: Annotated[Reason, Field(description="It stands on the note.")]


class PaymentIn(Taken):
    """Money that was received; a reference is counted once for an invoice. What is more than is
    open is refused, or becomes the customer's credit."""

    model_config = example(
        {"amount": "119", "received_on": "2026-11-03", "reference": "transfer 4711"}
    )

    amount: Annotated[Decimal, DecimalText(12, 4)]
    received_on: date
    reference: Reference
    excess_to_credit: bool = False


class PaymentOut(Given):
    """`to_credit` of the amount became the customer's credit."""

    id: UUID
    amount: Exact
    to_credit: Exact
    received_on: date
    reference: str
    recorded_at: Instant


class RecordedPaymentOut(PaymentOut):
    """And the invoice as it is then."""

    invoice: InvoiceOut


@transitions.acting(
    "/invoices/{uuid:invoice_id}/review",
    scope="invoices:write",
    answers=InvoiceOut,
    summary="Put a draft into review",
)
def review_an_invoice(request: ApiRequest, invoice_id: UUID) -> InvoiceOut:
    return _moved(request, invoice_id, lambda each: begin_review(each, as_of=request.as_of))


@transitions.acting(
    "/invoices/{uuid:invoice_id}/send",
    scope="invoices:write",
    answers=InvoiceOut,
    summary="Note that an invoice was sent to its customer",
)
def send_an_invoice(request: ApiRequest, invoice_id: UUID) -> InvoiceOut:
    return _moved(request, invoice_id, lambda each: mark_sent(each, as_of=request.as_of))


@transitions.acting(
    "/invoices/{uuid:invoice_id}/write-off",
    scope="invoices:write",
    answers=InvoiceOut,
    summary="Give up what is open of an invoice",
)
def write_an_invoice_off(request: ApiRequest, invoice_id: UUID) -> InvoiceOut:
    return _moved(request, invoice_id, lambda each: write_off(each, as_of=request.as_of))


@transitions.creating_once(
    "/invoices/{uuid:invoice_id}/void",
    scope="invoices:write",
    answers=InvoiceOut,
    summary="Take an invoice back in full; the answer is the note that does so",
)
def void_an_invoice(request: ApiRequest, invoice_id: UUID, void: VoidIn) -> Status[InvoiceOut]:
    invoice = visible_invoice(request.caller, invoice_id)
    with _refusals():
        note = void_invoice(invoice, void.reason, as_of=request.as_of)
    return _once(shown_invoice(note), made=note.finalized_at == request.as_of)


@transitions.reading(
    "/invoices/{uuid:invoice_id}/payments",
    scope="invoices:read",
    answers=Page[PaymentOut],
    summary="List an invoice's payments",
)
def list_payments(
    request: ApiRequest, invoice_id: UUID, filters: Query[Paging]
) -> Page[PaymentOut]:
    invoice = visible_invoice(request.caller, invoice_id)
    return page_of(Payment.objects.filter(invoice=invoice), filters, _shown, by="recorded_at")


@transitions.creating_once(
    "/invoices/{uuid:invoice_id}/payments",
    scope="invoices:write",
    answers=RecordedPaymentOut,
    summary="Record money that was received for an invoice",
)
def record_a_payment(
    request: ApiRequest, invoice_id: UUID, payment: PaymentIn
) -> Status[RecordedPaymentOut]:
    invoice = visible_invoice(request.caller, invoice_id)
    with _refusals():
        recorded = record_payment(
            invoice,
            payment.amount,
            received_on=payment.received_on,
            reference=payment.reference,
            as_of=request.as_of,
            excess_to_credit=payment.excess_to_credit,
        )
    return _once(_shown_payment(recorded), made=recorded.recorded_at == request.as_of)


def _once(shown: Shown, *, made: bool) -> Status[Shown]:
    return Status(HTTPStatus.CREATED if made else HTTPStatus.OK, shown)


def _moved(request: ApiRequest, invoice_id: UUID, move: Callable[[Invoice], Invoice]) -> InvoiceOut:
    invoice = visible_invoice(request.caller, invoice_id)
    with _refusals():
        return shown_invoice(move(invoice))


@contextmanager
def _refusals() -> Iterator[None]:
    """Raises Problem: 409 where the invoice's state is against it, 422 where the request is."""
    try:
        yield
    except ReasonMissing as refusal:
        raise unprocessable(("reason", str(refusal))) from refusal
    except PaymentDayNotUsable as refusal:
        raise unprocessable(("received_on", str(refusal))) from refusal
    except PaymentNotUsable as refusal:
        raise unprocessable(("amount", str(refusal))) from refusal
    except tuple(kind for kind, _ in _CONFLICTS) as refusal:
        name = next(name for kind, name in _CONFLICTS if isinstance(refusal, kind))
        raise conflict(name, f"{refusal}.") from refusal


def _shown_payment(payment: Payment) -> RecordedPaymentOut:
    invoice = shown_invoice(Invoice.objects.get(pk=payment.invoice_id))
    return RecordedPaymentOut(**dict(_shown(payment)), invoice=invoice)


def _shown(payment: Payment) -> PaymentOut:
    return PaymentOut(
        id=payment.pk,
        amount=payment.amount,
        to_credit=payment.to_credit,
        received_on=payment.received_on,
        reference=payment.reference,
        recorded_at=payment.recorded_at,
    )
