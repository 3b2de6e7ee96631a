"""Restating issued invoices: usage that became known afterwards is billed by a note, or on the
next invoice, as the tenant chose. The invoice itself stays as it is."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from billing.line_copy import NewLine
from billing.models import BillingSettings, Invoice, LateUsage, Subscription
from billing.operations.grounded import rated_on_ground
from billing.operations.invoices import locked_invoice
from billing.operations.issuing import forget_late_usage, mark_dependents
from billing.operations.journal import lock_customer
from billing.operations.notes import issue_difference
from billing.queries.frozen import own_contract
from billing.queries.late_windows import pending_late_usage
from billing.queries.parties import billing_settings
from billing.queries.restatement import (
    difference_lines,
    late_usage_deadline,
)

_USAGE_CAME = "Usage that became known after the invoice was issued"
_CORRECTED = "Correction of usage"
_TAKEN_BACK = "The invoice was taken back, and so is late usage of its period on later ones"
_ROLLS_OVER = "It costs the same, and changes what is left of an allowance for later periods"
_GOES_ON = "An earlier period, which this one goes on from, was restated or taken back"


def restate_invoice(invoice: Invoice, *, as_of: datetime) -> Invoice | None:
    """Issue the note that an issued invoice's late usage comes to; None where there is none, or
    where it is left to the next invoice.

    Usage that became known past the tenant's deadline is refused, and listed. The difference is
    taken against all that was billed for the period, so that what is run twice, or at once, is
    billed once. Raises UsageNotRolledUp, and what a line's taxes may raise.
    """
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if not locked.is_issued or locked.kind != Invoice.Kind.INVOICE:
            return None
        lock_customer(locked.customer_id)
        settings = billing_settings()
        _refuse_what_is_too_late(locked, settings, as_of)
        changed = pending_late_usage(locked).exists()
        if not changed or _waits_for_next_invoice(locked, settings, as_of):
            return None
        return _restate(locked, as_of)


def _restate(invoice: Invoice, as_of: datetime) -> Invoice | None:
    lines, ground = rated_on_ground(
        lambda: [invoice], lambda: difference_lines(invoice), lambda _: [own_contract(invoice)]
    )
    came = LateUsage.objects.filter(pk__in=ground.marks, hour__isnull=False).exists()
    forget_late_usage(ground.marks)
    if not lines:
        return None
    reason = _reason(invoice, lines, came=came)
    note = issue_difference(invoice, lines, reason, as_of=as_of, ground=ground)
    if note is not None:
        mark_dependents(invoice, as_of=as_of)
    return note


def _reason(invoice: Invoice, lines: Sequence[NewLine], *, came: bool) -> str:
    if invoice.status == Invoice.Status.VOID:
        return _TAKEN_BACK
    why = _why_usage_differs(lines) if came else _GOES_ON
    return why if any(line.amount for line in lines) else f"{why}. {_ROLLS_OVER}"


def _why_usage_differs(lines: Sequence[NewLine]) -> str:
    """Why usage differs from what was invoiced, as the note says it; each correction with its own
    reason, as many as there is room for."""
    windows = [window for line in lines for window in line.facts["windows"]]
    corrected = dict.fromkeys(
        each["reason"] for window in windows for each in window["corrections"]
    )
    if not corrected:
        return _USAGE_CAME
    told = f"{_CORRECTED}: {'; '.join(corrected)}"
    if any(window["batches"] for window in windows):
        told = f"{_USAGE_CAME}. {told}"
    room = Invoice._meta.get_field("reason").max_length
    return told if room is None or len(told) <= room else f"{told[: room - 1]}…"


def _refuse_what_is_too_late(invoice: Invoice, settings: BillingSettings, as_of: datetime) -> None:
    deadline = late_usage_deadline(invoice, settings)
    # What an earlier period's change comes to here was accepted with that change.
    late = pending_late_usage(invoice).filter(hour__isnull=False, noted_at__gte=deadline)
    late.update(refused_at=as_of)


def _waits_for_next_invoice(invoice: Invoice, settings: BillingSettings, as_of: datetime) -> bool:
    """Whether another invoice of the customer is to come that can carry it."""
    if settings.late_usage != BillingSettings.LateUsage.NEXT_INVOICE:
        return False
    runs_on = Q(ends_at__isnull=True) | Q(ends_at__gt=as_of)
    drafts = Invoice.objects.filter(
        kind=Invoice.Kind.INVOICE,
        customer=invoice.customer_id,
        currency=invoice.currency,
        finalized_at__isnull=True,
        period_start__gte=invoice.period_end,
    )
    return (
        drafts.exists()
        or Subscription.objects.filter(runs_on, customer=invoice.customer_id).exists()
    )
