"""Credit and debit notes: what changes an issued invoice without touching it."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import uuid4

from django.db import transaction

from billing.core.exact import EXACT
from billing.core.lifecycle import may_follow, written_before
from billing.core.tax import TaxGroup
from billing.line_copy import Line
from billing.models import Invoice, InvoiceLine, LateUsage
from billing.operations.invoices import locked_invoice
from billing.operations.issuing import issue, mark_dependents, mark_what_late_lines_leave
from billing.operations.journal import lock_customer
from billing.operations.taxing import groups_of, replace_lines_and_taxes, treatments_of_note
from billing.operations.telling import tell_of_invoice
from billing.queries.frozen import Rating

_FIGURES = ("amount", "raw_quantity", "quantity", "unrounded")


class InvoiceNotVoidable(Exception):
    """Only an invoice or debit note that was issued, and was not given up, can be void."""


class ReasonMissing(ValueError):
    """A note says why it was made."""


def void_invoice(invoice: Invoice, reason: str, *, as_of: datetime) -> Invoice:
    """Take back an issued invoice or debit note in full by a credit note, which is returned.

    What credit notes took off before is not taken off again: where they took off more than it came
    to, the rest is charged back by a debit note instead. What was paid becomes the customer's
    credit. An invoice's period is not billed anew; of a debit note that is void its invoice lacks
    the usage again, and the next restatement makes another. Looked at again are later ones that go
    on from it, what late usage of it stands on other invoices, and the earlier periods of which
    late usage stands on it. An invoice that is void already gives the note that made it so.
    Raises InvoiceNotVoidable and ReasonMissing.
    """
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if locked.status == Invoice.Status.VOID:
            # Others say what late usage of it comes to.
            return locked.notes.exclude(lines__kind=InvoiceLine.Kind.LATE_USAGE).get()
        _require_voidable(locked)
        lock_customer(locked.customer_id)
        earlier = list(_credit_notes(locked))
        lines = [_mirrored(line) for line in locked.lines.order_by("position")]
        lines += [_mirrored(line, back=True) for note in earlier for line in note.lines.all()]
        groups = _groups_left(locked, earlier)
        kind = Invoice.Kind.CREDIT_NOTE
        if sum((note.gross for note in earlier), Decimal(0)) > locked.gross:
            kind, groups = Invoice.Kind.DEBIT_NOTE, _negated(lines, groups)
        note = _draft_note(locked, kind, reason, as_of)
        replace_lines_and_taxes(note, lines, groups)
        issue(note, as_of=as_of)
        locked.refresh_from_db()
        locked.status = Invoice.Status.VOID
        locked.save(update_fields=["status"])
        tell_of_invoice("invoice.voided", locked, as_of=as_of)
        # Usage that came late for it is not billed any more.
        LateUsage.objects.filter(invoice=locked, hour__isnull=False).delete()
        mark_dependents(locked.refers_to or locked, as_of=as_of)
        mark_what_late_lines_leave(locked, as_of=as_of)
        return note


def _require_voidable(invoice: Invoice) -> None:
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        raise InvoiceNotVoidable("a credit note is not taken back; make an invoice or debit note")
    if not invoice.is_issued:
        raise InvoiceNotVoidable("it has no number yet; a draft can still be changed")
    if not may_follow(invoice.status, Invoice.Status.VOID):
        raise InvoiceNotVoidable(
            f"it is {invoice.get_status_display().lower()}; an invoice is taken back that is "
            f"{written_before(Invoice.Status.VOID)}"
        )
    if invoice.lines.filter(kind=InvoiceLine.Kind.CORRECTION).exists():
        raise InvoiceNotVoidable(
            f"it took {invoice.refers_to} back, which stays so; grant the customer credit instead"
        )
    if invoice.gross < 0:
        raise InvoiceNotVoidable("it came to less than nothing, and was issued as a credit note")
    debits = invoice.notes.filter(kind=Invoice.Kind.DEBIT_NOTE).exclude(status=Invoice.Status.VOID)
    standing = debits.first()
    if standing is not None:
        raise InvoiceNotVoidable(f"void {standing} first, which adds to it")


def issue_difference(
    original: Invoice,
    lines: Sequence[Line],
    reason: str,
    *,
    as_of: datetime,
    rating: Rating,
) -> Invoice | None:
    """Issue the note that adds these lines, rated so, to a locked invoice: a debit note
    if they come to more than nothing, with tax, else a credit note. None where they take from each
    other all that they come to, as usage that counts towards a minimum does: nobody is sent a note
    of nothing, but for one that says what is left of an allowance that rolls over. Raises what
    taxing them raises."""
    treatments = treatments_of_note(original, lines)
    for line, treatment in zip(lines, treatments, strict=True):
        line.tax_category, line.tax_percent = treatment.category, treatment.percent
    groups = groups_of(original, lines, treatments)
    tells = any("left_over" in line.facts for line in lines)
    if not tells and not any(group.taxable or group.tax for group in groups):
        return None
    owed = EXACT.add(
        sum((group.taxable for group in groups), Decimal(0)),
        sum((group.tax for group in groups), Decimal(0)),
    )
    kind = Invoice.Kind.DEBIT_NOTE if owed >= 0 else Invoice.Kind.CREDIT_NOTE
    note = _draft_note(original, kind, reason, as_of)
    if kind == Invoice.Kind.CREDIT_NOTE:
        groups = _negated(lines, groups)
    replace_lines_and_taxes(note, lines, groups)
    issue(note, as_of=as_of, rating=rating)
    return note


def _draft_note(original: Invoice, kind: str, reason: str, as_of: datetime) -> Invoice:
    if not reason.strip():
        raise ReasonMissing("a note needs a reason, which stands on it")
    return Invoice.objects.create(
        kind=kind,
        refers_to=original,
        reason=reason.strip(),
        customer=original.customer,
        subscription_id=original.subscription_id,
        plan_version_id=original.plan_version_id,
        period_start=original.period_start,
        period_end=original.period_end,
        billed_to=original.billed_to,
        customer_reference=original.customer_reference,
        time_zone=original.time_zone,
        seller=original.seller,
        plan_label=original.plan_label,
        currency=original.currency,
        tax_inclusive=original.tax_inclusive,
        total=0,
        created_at=as_of,
    )


def _credit_notes(invoice: Invoice) -> "list[Invoice]":
    notes = invoice.notes.filter(kind=Invoice.Kind.CREDIT_NOTE, finalized_at__isnull=False)
    return list(notes.order_by("finalized_at", "number").prefetch_related("lines", "taxes"))


def _mirrored(line: InvoiceLine, *, back: bool = False) -> InvoiceLine:
    """The line on the note that takes it back; `back` for one of an earlier credit note,
    which then takes off less."""
    facts = {"takes_back": str(line.invoice_id), "of_kind": line.kind, "position": line.position}
    line.pk, line.kind, line.facts = uuid4(), InvoiceLine.Kind.CORRECTION, facts
    line._state.adding = True
    if back:
        _negate(line)
    return line


def _negate(line: Line) -> None:
    for name in _FIGURES:
        # A minus sign would round to the 28 digits of the default context.
        setattr(line, name, Decimal(getattr(line, name)).copy_negate())


def _negated(lines: Sequence[Line], groups: Sequence[TaxGroup]) -> tuple[TaxGroup, ...]:
    """Turn the lines round, and give their tax groups turned round."""
    for line in lines:
        _negate(line)
    return tuple(
        TaxGroup(group.category, group.percent, -group.taxable, -group.tax, group.reason)
        for group in groups
    )


def _groups_left(invoice: Invoice, notes: Sequence[Invoice]) -> Sequence[TaxGroup]:
    """The invoice's tax groups less those of its credit notes, to the minor unit."""
    left = {
        (tax.category, tax.percent): TaxGroup(
            tax.category, tax.percent, tax.taxable, tax.tax, tax.reason
        )
        for tax in invoice.taxes.all()
    }
    for tax in (tax for note in notes for tax in note.taxes.all()):
        key = (tax.category, tax.percent)
        before = left.get(key, TaxGroup(*key, Decimal(0), Decimal(0), tax.reason))
        left[key] = TaxGroup(
            *key,
            EXACT.subtract(before.taxable, tax.taxable),
            EXACT.subtract(before.tax, tax.tax),
            before.reason,
        )
    return list(left.values())
