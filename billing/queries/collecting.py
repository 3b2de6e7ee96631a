"""What is to be collected, and what is known of its collecting."""

from django.db.models import Exists, OuterRef, QuerySet

from billing.core.lifecycle import PAYABLE
from billing.models import Invoice, PayingCustomer, PaymentAttempt
from billing.queries.parties import billing_settings

BEGUN_MAX = 500


def to_collect() -> list[Invoice]:
    """Issued invoices and debit notes that nobody has tried to collect yet, of customers who have
    saved a method, oldest first. What was tried and declined is dunning's."""
    if not billing_settings().collects_automatically:
        return []
    payers = PayingCustomer.objects.filter(customer=OuterRef("customer")).exclude(method_id="")
    tried = PaymentAttempt.objects.filter(invoice=OuterRef("pk"))
    found = (
        Invoice.objects.filter(Exists(payers), ~Exists(tried), status__in=PAYABLE)
        .exclude(kind=Invoice.Kind.CREDIT_NOTE)
        .order_by("finalized_at", "pk")
    )
    return [invoice for invoice in found[:BEGUN_MAX] if invoice.open_amount]


def attempts_in_doubt() -> "QuerySet[PaymentAttempt]":
    """Of which nobody knows yet whether money moved, the oldest first."""
    found = PaymentAttempt.objects.in_doubt().select_related("invoice", "invoice__customer")
    return found.order_by("submitted_at")


def current_attempt(invoice: Invoice) -> PaymentAttempt | None:
    """The attempt that is under way."""
    return PaymentAttempt.objects.open().filter(invoice=invoice).first()


def last_attempt(invoice: Invoice) -> PaymentAttempt | None:
    return PaymentAttempt.objects.filter(invoice=invoice).order_by("-number").first()
