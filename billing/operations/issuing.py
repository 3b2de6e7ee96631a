"""Finalizing: what a draft becomes when it gets its number."""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import transaction

from billing.core.lifecycle import PAYABLE
from billing.models import (
    BillingSettings,
    Invoice,
    InvoiceLine,
    InvoiceNumbering,
    InvoiceTerms,
    LateUsage,
    Logo,
)
from billing.operations.credit import apply_credit
from billing.operations.grounded import rated_on_ground
from billing.operations.invoices import locked_invoice, rate_again
from billing.operations.journal import lock_customer
from billing.operations.ledger import post_issued
from billing.operations.mailing import mail_document
from billing.operations.suspending import end_suspension
from billing.operations.telling import tell_of_invoice
from billing.queries.differences import has_late_lines_elsewhere
from billing.queries.frozen import Rating, frozen_terms, restated_on
from billing.queries.late_windows import changed_hours
from billing.queries.parties import billing_settings, buyer_details, seller_details
from billing.queries.restatement import invoices_looked_at, issued_dependents
from tenants.models import Tenant
from tenants.scope import current_tenant_id


def finalize_invoice(invoice: Invoice, *, as_of: datetime) -> Invoice:
    """Rate the draft one last time and give it the next number of its series, without gaps.

    A finalized invoice is returned as it is. Raises UsageNotRolledUp, InvoiceCurrencyDiffers,
    core.tax.TaxRateUnknown and TaxCountryUnknown.
    """
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if locked.is_issued:
            return locked
        # Whoever changes what is billed to the customer waits, and then finds the invoice issued.
        locked.customer = lock_customer(locked.customer_id)
        (contract, restated), ground = rated_on_ground(
            lambda: [locked, *invoices_looked_at(locked)],
            lambda documents: rate_again(locked, strict=True, among=documents[1:]),
        )
        rating = Rating(contract, restated, ground)
        issue(locked, as_of=as_of, rating=rating)
        forget_late_usage(ground.marks_of([locked, *(each.invoice for each in restated)]))
        # Later periods may be issued already, by what the draft came to then.
        billed_here = [each.invoice for each in rating.billed_here]
        mark_dependents(locked, *billed_here, as_of=as_of)
        return locked


def forget_late_usage(marks: Collection[UUID]) -> None:
    """Delete marks that a rating has made up for."""
    LateUsage.objects.filter(pk__in=marks).delete()


def mark_dependents(*changed: Invoice, as_of: datetime) -> None:
    """Have the issued invoices looked at again that go on from these, which were rated together and
    of which other amounts stand from now on. The customer is locked, so that none is issued
    meanwhile."""
    later = {found.pk for each in changed for found in issued_dependents(each)}
    LateUsage.objects.bulk_create(
        LateUsage(invoice_id=pk, noted_at=as_of)
        for pk in sorted(later - {each.pk for each in changed})
    )


def mark_what_late_lines_leave(void: Invoice, *, as_of: datetime) -> None:
    """Have looked at again what taking an invoice back leaves amiss: late usage of its own period
    that other invoices bill is to be given back, and late usage of earlier periods that it billed
    is not billed any more. The marks that had led to the latter are made anew, as far as the lines
    say them, and are not too late."""
    if has_late_lines_elsewhere(void):
        LateUsage.objects.create(invoice=void, noted_at=as_of)
    for restated in restated_on(void):
        lines = void.lines.filter(
            kind=InvoiceLine.Kind.LATE_USAGE, facts__restates=str(restated.pk)
        )
        marks = {
            (line.application_id, hour, noted_at)
            for line in lines
            if line.application_id is not None
            for hour, noted_at in changed_hours(line)
        }
        LateUsage.objects.create(invoice=restated, noted_at=as_of)
        LateUsage.objects.bulk_create(
            LateUsage(
                invoice=restated,
                application_id=application,
                hour=hour,
                noted_at=noted_at,
                accepted_at=as_of,
            )
            for application, hour, noted_at in marks
        )


def issue(
    invoice: Invoice,
    *,
    as_of: datetime,
    rating: Rating | None = None,
) -> None:
    """Give a locked draft, whose lines and taxes are written, its number for good. By what it was
    rated is kept with it; a note that takes a document back was not rated.

    Who bills and who is billed stand on it as they are called now; on a note as on the invoice
    that it changes. A credit note is taken off what is open of that invoice, which is locked too.
    """
    InvoiceTerms.objects.create(invoice=invoice, body=frozen_terms(invoice, rating))
    settings = billing_settings()
    original = invoice.refers_to
    invoice.seller_details = (original and original.seller_details) or _seller_of_today(settings)
    invoice.buyer_details = (original and original.buyer_details) or buyer_details(invoice.customer)
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        _take_off(invoice, as_of)
    else:
        invoice.due_at = as_of + timedelta(days=settings.payment_term_days)
        apply_credit(invoice, as_of=as_of)
    invoice.series = _series(settings, invoice.issued_as)
    invoice.number = _next_number(invoice.series)
    invoice.status = Invoice.Status.FINALIZED
    invoice.finalized_at = as_of
    invoice.save()
    post_issued(invoice)
    tell_of_invoice("invoice.finalized", invoice, as_of=as_of)
    mail_document(invoice, as_of=as_of)
    mark_settled(invoice, as_of=as_of)


def _seller_of_today(settings: BillingSettings) -> dict[str, Any]:
    """What is kept of the seller, with the digest of the logo in place of the logo."""
    slug = Tenant.objects.values_list("slug", flat=True).get(pk=current_tenant_id())
    return {**seller_details(settings), "slug": slug, "logo": _kept_logo(settings.logo_svg)}


def _kept_logo(svg: str) -> str:
    if not svg:
        return ""
    digest = sha256(svg.encode()).hexdigest()
    Logo.objects.get_or_create(digest=digest, defaults={"svg": svg})
    return digest


def _take_off(note: Invoice, as_of: datetime) -> None:
    original = note.refers_to
    if original is None:
        return
    note.amount_credited = min(max(note.gross, Decimal(0)), original.open_amount)
    original.amount_credited += note.amount_credited
    original.save(update_fields=["amount_credited"])
    mark_settled(original, as_of=as_of)


def mark_settled(invoice: Invoice, *, as_of: datetime) -> None:
    """An invoice of which nothing is open, and that nothing else has happened to, is paid."""
    takes_off = invoice.kind == Invoice.Kind.CREDIT_NOTE
    if takes_off or invoice.open_amount or invoice.status not in PAYABLE:
        return
    invoice.status = Invoice.Status.PAID
    invoice.save(update_fields=["status"])
    tell_of_invoice("invoice.paid", invoice, as_of=as_of)
    end_suspension(invoice, "it is paid", as_of=as_of)


def _series(settings: BillingSettings, kind: str) -> str:
    return {
        Invoice.Kind.INVOICE: settings.invoice_series,
        Invoice.Kind.CREDIT_NOTE: settings.credit_note_series,
        Invoice.Kind.DEBIT_NOTE: settings.debit_note_series,
    }[Invoice.Kind(kind)]


def _next_number(series: str) -> int:
    numbering, _ = InvoiceNumbering.objects.select_for_update().get_or_create(series=series)
    numbering.last_number += 1
    numbering.save(update_fields=["last_number"])
    return numbering.last_number
