"""What is dunned, and who is suspended. Nothing here writes."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import QuerySet

from billing.core.dunning import Hold, Step
from billing.core.lifecycle import PAYABLE
from billing.models import DunningStep, Invoice, Suspension
from tenants.models import Customer


def schedule() -> list[Step]:
    """The tenant's steps, earliest first."""
    rows = DunningStep.objects.all()
    return sorted(Step(row.days_after_due, row.action, row.number) for row in rows)


def holds_of(invoice: Invoice) -> list[Hold]:
    return [Hold(row.starts_at, row.ends_at) for row in invoice.holds.all()]


def taken_of(invoice: Invoice) -> dict[tuple[str, int], datetime]:
    return {(row.action, row.number): row.taken_at for row in invoice.dunning.all()}


def overdue_invoices(*, as_of: datetime) -> "QuerySet[Invoice]":
    """Invoices and debit notes that are due and not paid, the longest first."""
    found = Invoice.objects.filter(due_at__lte=as_of, status__in=PAYABLE)
    return found.exclude(kind=Invoice.Kind.CREDIT_NOTE).order_by("due_at", "pk")


def is_suspended(customer: Customer) -> bool:
    return Suspension.objects.filter(customer=customer, ends_at__isnull=True).exists()


def suspended_for_nothing() -> Collection[Invoice]:
    """Invoices that customers are suspended for although nothing is to be paid of them."""
    open_ones = Suspension.objects.filter(ends_at__isnull=True).select_related("invoice")
    return [each.invoice for each in open_ones if not each.invoice.open_amount]
