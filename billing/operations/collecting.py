"""Collecting an invoice: an attempt is stored, the processor is asked, and its word is settled.

The three are transactions of their own, with the request between them: what is killed halfway is
found by `reconcile`. Only `begin_attempt` and `settle` change money's records, each under the
invoice's lock.
"""

from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.models import Max

from billing.core.collecting import (
    STATE_OF,
    AmountNotWhole,
    MinorAmount,
    Seen,
    in_minor_units,
    may_follow,
)
from billing.core.currencies import currency_of
from billing.core.exact import plain
from billing.core.lifecycle import PAYABLE
from billing.models import Invoice, PayingCustomer, PaymentAttempt
from billing.operations.invoices import locked_invoice
from billing.operations.lifecycle import InvoiceNotPayable, record_payment
from billing.operations.mailing import mail_of_invoice
from billing.operations.telling import tell_of_collecting
from billing.queries.disputes import contested

_State = PaymentAttempt.State
ATTEMPTS_MAX: Final = 1_000
# What the failure of an attempt is called where the processor gave none.
NOT_RECEIVED: Final = "not_received"
EXPIRED: Final = "expired"
AUTHENTICATION: Final = "authentication_required"


class AttemptOpen(Exception):
    """Another attempt to collect the invoice is under way."""

    def __init__(self, attempt: PaymentAttempt) -> None:
        super().__init__(
            f"attempt {attempt.number} of {attempt.invoice.reference} is under way "
            f"({attempt.get_state_display().lower()}); wait for its end"
        )
        self.attempt = attempt


class NoPaymentMethod(Exception):
    """The customer has saved nothing that could be charged."""


def begin_attempt(
    invoice: Invoice, way: PaymentAttempt.Way, *, method_id: str = "", as_of: datetime
) -> PaymentAttempt:
    """Note that all that is open of the invoice, and not disputed, is to be collected; `submit`
    then asks for it.

    Raises InvoiceNotPayable, and AttemptOpen with the attempt that is under way.
    """
    with transaction.atomic():
        locked = locked_invoice(invoice)
        current = PaymentAttempt.objects.open().filter(invoice=locked).first()
        if current is not None:
            current.invoice = locked
            raise AttemptOpen(current)
        amount = contested(locked).undisputed
        if locked.status not in PAYABLE or not amount:
            raise InvoiceNotPayable(f"nothing is to be paid of {locked}")
        _require_chargeable(amount, locked.currency)
        last = locked.attempts.aggregate(last=Max("number"))["last"] or 0
        if last >= ATTEMPTS_MAX:
            raise InvoiceNotPayable(f"{locked} was attempted {last} times; collect it by hand")
        return PaymentAttempt.objects.create(
            invoice=locked,
            number=last + 1,
            way=way,
            amount=amount,
            currency=locked.currency,
            method_id=method_id,
            created_at=as_of,
        )


def collect(invoice: Invoice, *, as_of: datetime) -> PaymentAttempt:
    """Begin to collect by the customer's own default method, while they are away. Raises
    NoPaymentMethod, and what begin_attempt raises."""
    payer = PayingCustomer.objects.filter(customer=invoice.customer_id).first()
    if payer is None or not payer.method_id:
        raise NoPaymentMethod(f"{invoice.billed_to} has saved no payment method")
    way = PaymentAttempt.Way.OFF_SESSION
    return begin_attempt(invoice, way, method_id=payer.method_id, as_of=as_of)


def mark_submitted(attempt: PaymentAttempt, *, as_of: datetime) -> PaymentAttempt | None:
    """Take an attempt for submitting; None where another worker has it, or had."""
    with transaction.atomic():
        locked = (
            PaymentAttempt.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(pk=attempt.pk, state=_State.CREATED)
            .select_related("invoice")
            .first()
        )
        if locked is None:
            return None
        # It may have been paid, credited or taken back since it was asked for.
        asked_for = contested(locked.invoice).undisputed
        if locked.invoice.status not in PAYABLE or asked_for < locked.amount:
            _end(locked, _State.FAILED, "not_open", "Less is open than was to be paid.", as_of)
            return None
        locked.state, locked.submitted_at, locked.checked_at = _State.SUBMITTED, as_of, as_of
        locked.save(update_fields=["state", "submitted_at", "checked_at"])
        return locked


def mark_unknown(attempt: PaymentAttempt, words: str, *, as_of: datetime) -> PaymentAttempt:
    """No answer says what became of it: nothing else begins until one does."""
    with transaction.atomic():
        locked = locked_attempt(attempt)
        if locked.is_open and may_follow(locked.state, _State.UNKNOWN):
            locked.state = _State.UNKNOWN
        if locked.is_open:
            locked.checked_at, locked.failure_message = as_of, words[:500]
            locked.save(update_fields=["state", "checked_at", "failure_message"])
        return locked


def note_checked(attempt: PaymentAttempt, *, as_of: datetime) -> None:
    """It was looked at, and is as it was."""
    PaymentAttempt.objects.filter(pk=attempt.pk).update(checked_at=as_of)


def note_page(attempt: PaymentAttempt, session_id: str, url: str, *, as_of: datetime) -> None:
    """The customer pays on a page of the processor's."""
    with transaction.atomic():
        locked = locked_attempt(attempt)
        if not locked.is_open:
            return
        moved = locked.state != _State.REQUIRES_ACTION
        locked.session_id, locked.hand_over_url, locked.checked_at = session_id, url, as_of
        locked.state, locked.failure_message = _State.REQUIRES_ACTION, ""
        locked.save()
        if moved:
            _tell(locked, "payment.requires_action", as_of)


def settle(
    attempt: PaymentAttempt,
    intent_id: str,
    seen: Seen,
    received: MinorAmount,
    *,
    hand_over_url: str = "",
    failure: tuple[str, str] = ("", ""),
    as_of: datetime,
) -> PaymentAttempt:
    """Make of an attempt what the processor says of its payment: money that came is recorded once,
    and what is more than is open becomes the customer's credit. Told twice, it changes nothing."""
    state = _State(STATE_OF[seen].value)
    with transaction.atomic():
        invoice = locked_invoice(attempt.invoice)
        locked = locked_attempt(attempt)
        locked.invoice = invoice
        if not locked.is_open:
            return locked
        locked.intent_id, locked.checked_at = intent_id or locked.intent_id, as_of
        if state == _State.SUCCEEDED:
            _record(locked, received, as_of)
        if state in {_State.SUCCEEDED, _State.FAILED}:
            return _end(locked, state, *failure, as_of)
        moved = locked.state != state
        locked.state, locked.hand_over_url = state, hand_over_url
        locked.save()
        if moved and state == _State.REQUIRES_ACTION:
            _tell(locked, "payment.requires_action", as_of)
            _ask_to_confirm(locked, as_of)
        return locked


def fail(attempt: PaymentAttempt, code: str, words: str, *, as_of: datetime) -> PaymentAttempt:
    """End an attempt for which nothing can be charged any more."""
    with transaction.atomic():
        locked = locked_attempt(attempt)
        return _end(locked, _State.FAILED, code, words, as_of) if locked.is_open else locked


def locked_attempt(attempt: PaymentAttempt) -> PaymentAttempt:
    """As it is now; nobody else changes it until this transaction ends."""
    return (
        PaymentAttempt.objects.select_for_update(of=("self",))
        .select_related("invoice", "invoice__customer")
        .get(pk=attempt.pk)
    )


def _require_chargeable(amount: Decimal, currency: str) -> None:
    try:
        in_minor_units(amount, currency_of(currency))
    except AmountNotWhole as error:
        raise InvoiceNotPayable(f"{error}; take it by bank transfer") from error


def _record(attempt: PaymentAttempt, received: MinorAmount, as_of: datetime) -> None:
    if received.currency != currency_of(attempt.currency):
        raise ValueError(f"{attempt} is in {attempt.currency}, not in {received.currency.code}")
    record_payment(
        attempt.invoice,
        received.amount,
        received_on=as_of.date(),
        reference=attempt.intent_id,
        excess_to_credit=True,
        as_of=as_of,
    )


def _end(
    attempt: PaymentAttempt, state: PaymentAttempt.State, code: str, words: str, as_of: datetime
) -> PaymentAttempt:
    attempt.state, attempt.ended_at, attempt.hand_over_url = state, as_of, ""
    attempt.failure_code, attempt.failure_message = code[:100], words[:500]
    attempt.save()
    # That money came is told with its record.
    if state == _State.FAILED and attempt.submitted_at is not None:
        _tell(attempt, "payment.failed", as_of)
    return attempt


def _ask_to_confirm(attempt: PaymentAttempt, as_of: datetime) -> None:
    """Customers who pay just now are shown it; those who are away learn of it by e-mail."""
    if attempt.way == PaymentAttempt.Way.OFF_SESSION:
        more = {"amount": plain(attempt.amount)}
        kind, key = "payment_confirmation", str(attempt.pk)
        mail_of_invoice(kind, key, attempt.invoice, more, as_of=as_of)


def _tell(attempt: PaymentAttempt, event_type: str, as_of: datetime) -> None:
    more = {
        "attempt": str(attempt.number),
        "failure_code": attempt.failure_code,
        "failure_message": attempt.failure_message,
    }
    tell_of_collecting(
        event_type, str(attempt.pk), attempt.invoice, attempt.amount, more, as_of=as_of
    )
