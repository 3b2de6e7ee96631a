"""Giving money back: against a payment, for a credit note, and out of the credit that it left."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.models import Max, Sum

from billing.core.collecting import AmountNotWhole, in_minor_units
from billing.core.currencies import currency_of
from billing.core.exact import EXACT, ZERO, plain
from billing.models import Invoice, Payment, Refund
from billing.operations.credit import give_refund_back, take_refund
from billing.operations.invoices import locked_invoice
from billing.operations.journal import lock_customer
from billing.operations.telling import tell_of_collecting

_State = Refund.State
OPEN: Final = (_State.CREATED, _State.SUBMITTED, _State.UNKNOWN)
_PROCESSORS: Final = "pi_"


class NotRefundable(Exception):
    """The money cannot be given back this way."""


@dataclass(frozen=True, slots=True)
class Refundable:
    """A payment that came through the processor, and how much of it can still be given back."""

    payment: Payment
    left: Decimal


def refundable_payments(note: Invoice) -> list[Refundable]:
    """The payments of the note's invoice that can be refunded through the processor, newest
    first."""
    if note.kind != Invoice.Kind.CREDIT_NOTE or note.refers_to_id is None:
        return []
    payments = Payment.objects.filter(
        invoice=note.refers_to_id, reference__startswith=_PROCESSORS
    ).order_by("-recorded_at")
    found = (Refundable(each, EXACT.subtract(each.amount, _given_back(each))) for each in payments)
    return [each for each in found if each.left > 0]


def begin_refund(
    note: Invoice,
    payment: Payment,
    amount: Decimal,
    *,
    author: str,
    as_of: datetime,
    number: int | None = None,
) -> Refund:
    """Take `amount` out of the credit that the note left, to give it back on the way that it came.
    `number` says which of the note's refunds, from 1, it is to be: asked for twice it is made once.

    Raises NotRefundable and CreditNotLeft.
    """
    with transaction.atomic():
        locked = locked_invoice(note)
        lock_customer(locked.customer_id)
        following = (locked.refunds.aggregate(last=Max("number"))["last"] or 0) + 1
        if number is not None and number != following:
            raise NotRefundable(f"refund {number} of {locked} was made already, see its refunds")
        left = {each.payment.pk: each.left for each in refundable_payments(locked)}
        if payment.pk not in left:
            raise NotRefundable(
                f"{payment.reference} did not come through the processor for the invoice that "
                f"{locked} corrects, or was refunded; pay it out by hand"
            )
        if amount <= 0 or amount > left[payment.pk]:
            raise NotRefundable(
                f"between nothing and {plain(left[payment.pk])} {locked.currency} of "
                f"{payment.reference} can be refunded"
            )
        try:
            in_minor_units(amount, currency_of(locked.currency))
        except AmountNotWhole as refusal:
            raise NotRefundable(str(refusal)) from refusal
        take_refund(locked, amount, as_of=as_of)
        return Refund.objects.create(
            payment=payment,
            note=locked,
            number=following,
            amount=amount,
            currency=locked.currency,
            author=author,
            created_at=as_of,
        )


def mark_refund_submitted(refund: Refund, *, as_of: datetime) -> Refund | None:
    """Take a refund for submitting; None where another worker has it, or had."""
    with transaction.atomic():
        locked = (
            Refund.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(pk=refund.pk, state=_State.CREATED)
            .select_related("payment", "note")
            .first()
        )
        if locked is None:
            return None
        locked.state, locked.submitted_at = _State.SUBMITTED, as_of
        locked.save(update_fields=["state", "submitted_at"])
        return locked


def settle_refund(
    refund: Refund, state: Refund.State, *, refund_id: str = "", words: str = "", as_of: datetime
) -> Refund:
    """Make of a refund what the processor says. What failed is the customer's credit again. Told
    twice, it changes nothing."""
    with transaction.atomic():
        note = locked_invoice(refund.note)
        lock_customer(note.customer_id)
        locked = Refund.objects.select_for_update(of=("self",)).get(pk=refund.pk)
        if locked.state not in OPEN or (locked.state == state and not refund_id):
            return locked
        locked.state, locked.refund_id = state, refund_id or locked.refund_id
        locked.failure_message = words[:500]
        if state in {_State.SUCCEEDED, _State.FAILED}:
            locked.ended_at = as_of
        locked.save()
        if state == _State.FAILED:
            give_refund_back(note, locked.amount, as_of=as_of)
        if state == _State.SUCCEEDED:
            more = {"refund_id": str(locked.pk), "credit_note": note.reference}
            tell_of_collecting(
                "payment.refunded", str(locked.pk), note, locked.amount, more, as_of=as_of
            )
        return locked


def _given_back(payment: Payment) -> Decimal:
    given = payment.refunds.exclude(state=_State.FAILED).aggregate(sum=Sum("amount"))["sum"]
    return ZERO if given is None else Decimal(given)
