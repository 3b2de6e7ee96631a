"""What happens to an invoice before and after it is issued, apart from notes."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from billing.core.currencies import currency_of
from billing.core.exact import EXACT, ZERO, plain
from billing.core.lifecycle import PAYABLE, may_follow, written_before
from billing.core.money import round_amount
from billing.core.periods import YEAR_MIN
from billing.models import Invoice, Payment
from billing.operations.invoices import locked_invoice
from billing.operations.issuing import mark_settled
from billing.operations.journal import lock_customer
from billing.operations.ledger import DocumentNotIssued, post_payment, post_write_off
from billing.operations.mailing import mail_receipt
from billing.operations.telling import tell_of_invoice, tell_of_payment
from billing.queries.parties import billing_settings


class InvoiceNotPayable(Exception):
    """Nothing can be paid for it: it is void or a credit note."""


class PaymentNotUsable(ValueError):
    """The amount is no amount of the currency above zero, or the reference is missing."""


class PaymentDayNotUsable(PaymentNotUsable):
    """The day on which it was received lies ahead, or before any invoice."""


class PaymentExceedsOpen(ValueError):
    """More was paid than is open; what is more can only become the customer's credit."""


class PaymentDiffers(ValueError):
    """A payment of this reference is recorded, with another amount or day."""


class TransitionNotAllowed(Exception):
    """The invoice's status does not lead to the one that was asked for."""


def begin_review(invoice: Invoice, *, as_of: datetime) -> Invoice:
    """Give a draft its time to be looked over, as many days as the tenant chose. One that is in
    review is returned as it is. Raises TransitionNotAllowed where it is issued."""
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if locked.is_issued:
            raise TransitionNotAllowed(f"{locked} has its number and is not reviewed any more")
        if locked.status == Invoice.Status.DRAFT:
            locked.status = Invoice.Status.IN_REVIEW
            locked.review_until = as_of + timedelta(days=billing_settings().review_days)
            locked.save(update_fields=["status", "review_until"])
        return locked


def mark_sent(invoice: Invoice, *, as_of: datetime) -> Invoice:
    """Note that the customer was sent it; the first time counts. Raises DocumentNotIssued, and
    TransitionNotAllowed where it was taken back before it was sent."""
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if not locked.is_issued:
            raise DocumentNotIssued("it has no number yet; finalize it first")
        if locked.sent_at is None:
            if locked.status == Invoice.Status.VOID:
                raise TransitionNotAllowed("it is void; send the credit note that took it back")
            locked.sent_at = as_of
            if locked.status == Invoice.Status.FINALIZED:
                locked.status = Invoice.Status.SENT
            locked.save(update_fields=["sent_at", "status"])
            tell_of_invoice("invoice.sent", locked, as_of=as_of)
        return locked


def record_payment(
    invoice: Invoice,
    amount: Decimal,
    *,
    received_on: date,
    reference: str,
    as_of: datetime,
    excess_to_credit: bool = False,
) -> Payment:
    """Count money that was received towards an issued invoice or debit note.

    The reference is counted once: asked again, the payment is returned as it was recorded. What is
    more than is open becomes the customer's credit if `excess_to_credit`. Raises DocumentNotIssued,
    InvoiceNotPayable, PaymentNotUsable, PaymentExceedsOpen and PaymentDiffers.
    """
    _require_usable(amount, reference, invoice.currency, received_on, as_of)
    with transaction.atomic():
        locked = locked_invoice(invoice)
        recorded = Payment.objects.filter(invoice=locked, reference=reference).first()
        if recorded is not None:
            return _the_same(recorded, amount, received_on)
        _require_payable(locked, excess_to_credit=excess_to_credit)
        lock_customer(locked.customer_id)
        excess = max(EXACT.subtract(amount, locked.open_amount), ZERO)
        if excess and not excess_to_credit:
            raise PaymentExceedsOpen(
                f"{plain(locked.open_amount)} {locked.currency} is open; record the rest as credit"
            )
        payment = Payment.objects.create(
            invoice=locked,
            amount=amount,
            to_credit=excess,
            received_on=received_on,
            reference=reference,
            recorded_at=as_of,
        )
        tell_of_payment(payment, as_of=as_of)
        _count(locked, payment)
        mail_receipt(payment, as_of=as_of)
        post_payment(payment)
        return payment


def _count(invoice: Invoice, payment: Payment) -> None:
    invoice.amount_paid = EXACT.add(invoice.amount_paid, payment.applied)
    partly = may_follow(invoice.status, Invoice.Status.PARTLY_PAID)
    if partly and payment.applied and invoice.open_amount:
        invoice.status = Invoice.Status.PARTLY_PAID
    paid_after_all = invoice.status == Invoice.Status.UNCOLLECTIBLE and not invoice.open_amount
    if paid_after_all:
        invoice.status = Invoice.Status.PAID
    invoice.save(update_fields=["amount_paid", "status"])
    if paid_after_all:
        tell_of_invoice("invoice.paid", invoice, as_of=payment.recorded_at)
    mark_settled(invoice, as_of=payment.recorded_at)


def _require_usable(
    amount: Decimal, reference: str, currency: str, received_on: date, as_of: datetime
) -> None:
    # Somewhere it is tomorrow already.
    if received_on > as_of.date() + timedelta(days=1) or received_on.year < YEAR_MIN:
        raise PaymentDayNotUsable(f"nothing can have been received on {received_on}")
    if amount <= 0 or round_amount(amount, currency_of(currency)) != amount:
        raise PaymentNotUsable(f"{plain(amount)} {currency} is no amount that can be paid")
    if not reference.strip():
        raise PaymentNotUsable("a payment needs a reference, so that it is counted once")


def _require_payable(invoice: Invoice, *, excess_to_credit: bool) -> None:
    if not invoice.is_issued:
        raise DocumentNotIssued("it has no number yet; finalize it first")
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        raise InvoiceNotPayable("a credit note is not paid; it is taken off or becomes credit")
    if invoice.status == Invoice.Status.VOID and not excess_to_credit:
        raise InvoiceNotPayable("it is void; record what came all the same as credit")


def _the_same(recorded: Payment, amount: Decimal, received_on: date) -> Payment:
    if (recorded.amount, recorded.received_on) != (amount, received_on):
        raise PaymentDiffers(
            f"{recorded.reference} is recorded with {plain(recorded.amount)} on "
            f"{recorded.received_on}; use another reference"
        )
    return recorded


def write_off(invoice: Invoice, *, as_of: datetime) -> Invoice:
    """Give up what is open of an issued invoice or debit note. One that is given up is returned as
    it is. Raises TransitionNotAllowed."""
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if locked.status == Invoice.Status.UNCOLLECTIBLE:
            return locked
        allowed = may_follow(locked.status, Invoice.Status.UNCOLLECTIBLE)
        if not allowed or locked.kind == Invoice.Kind.CREDIT_NOTE:
            raise TransitionNotAllowed(
                f"{locked} is {locked.get_status_display().lower()}; an invoice or debit note is "
                f"given up that is {written_before(Invoice.Status.UNCOLLECTIBLE)}"
            )
        post_write_off(locked, as_of=as_of)
        locked.status = Invoice.Status.UNCOLLECTIBLE
        locked.save(update_fields=["status"])
        tell_of_invoice("invoice.written_off", locked, as_of=as_of)
        return locked


def mark_overdue(*, as_of: datetime) -> list[Invoice]:
    """Find the tenant's invoices and debit notes that are due and not paid, oldest first. Each is
    locked and looked at again, so that one that is being paid is left."""
    due = Invoice.objects.filter(_overdue(as_of)).order_by("due_at", "pk")
    found = []
    for invoice in due:
        with transaction.atomic():
            locked = locked_invoice(invoice)
            if not Invoice.objects.filter(_overdue(as_of), pk=locked.pk).exists():
                continue
            locked.status = Invoice.Status.OVERDUE
            locked.save(update_fields=["status"])
            tell_of_invoice("invoice.overdue", locked, as_of=as_of)
            found.append(locked)
    return found


def _overdue(as_of: datetime) -> Q:
    waiting = PAYABLE - {Invoice.Status.OVERDUE.value}
    return Q(due_at__lt=as_of, status__in=waiting) & ~Q(kind=Invoice.Kind.CREDIT_NOTE)
