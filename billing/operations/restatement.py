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
from billing.queries.differences import rated_anew
from billing.queries.frozen import Rating
from billing.queries.late_windows import pending_late_usage
from billing.queries.parties import billing_settings
from billing.queries.restatement import late_usage_deadline, refused_late_usage

_VOID = Invoice.Status.VOID
_USAGE_CAME = "Usage that became known after the invoice was issued"
_CORRECTED = "Correction of usage"
_TAKEN_BACK = "The invoice was taken back, and so is late usage of its period on later ones"
_ROLLS_OVER = "It costs the same, and changes what is left of an allowance for later periods"
_REFUSED_TOO = (
    "Usage that had been refused as too late is part of it, since the whole period is rated again"
)
_GOES_ON = "An earlier period, which this one goes on from, was restated or taken back"


def restate_invoice(invoice: Invoice, *, as_of: datetime) -> Invoice | None:
    """Issue the note that an issued invoice's late usage comes to; None where there is none, or
    where it is left to the next invoice.

    Usage that became known past the tenant's deadline is refused, and listed: it makes no note. The
    difference is taken against all that was billed for the period, so that what is run twice, or at
    once, is billed once; what was refused before is in the period that is rated, and so in a note
    that other usage makes. Raises UsageNotRolledUp, and what a line's taxes may raise.
    """
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if not locked.is_issued or locked.kind != Invoice.Kind.INVOICE:
            return None
        locked.customer = lock_customer(locked.customer_id)
        settings = billing_settings()
        _refuse_what_is_too_late(locked, settings, as_of)
        changed = pending_late_usage(locked).exists()
        if not changed or _waits_for_next_invoice(locked, settings, as_of):
            return None
        return _restate(locked, as_of)


def accept_late_usage(invoice: Invoice, *, as_of: datetime) -> int:
    """Have what was refused of an issued invoice's period billed by the next restatement, as if it
    had come in time; of how many hours of applications. Once it is, or where nothing was refused,
    0."""
    with transaction.atomic():
        locked = locked_invoice(invoice)
        lock_customer(locked.customer_id)
        refused = refused_late_usage().filter(invoice=locked).exclude(invoice__status=_VOID)
        marks = LateUsage.objects.filter(pk__in=refused.values("pk"))
        return marks.update(refused_at=None, accepted_at=as_of)


def _restate(invoice: Invoice, as_of: datetime) -> Invoice | None:
    restated, ground = rated_on_ground(lambda: [invoice], lambda _: rated_anew(invoice))
    marks = ground.marks_of([invoice])
    changed = list(LateUsage.objects.filter(pk__in=marks, hour__isnull=False))
    forget_late_usage(marks)
    if not restated.lines:
        return None
    reason = _reason(invoice, restated.lines, changed)
    rating = Rating(None, [restated], ground)
    note = issue_difference(invoice, restated.lines, reason, as_of=as_of, rating=rating)
    if note is not None:
        mark_dependents(invoice, as_of=as_of)
    return note


def _reason(invoice: Invoice, lines: Sequence[NewLine], changed: Sequence[LateUsage]) -> str:
    """Why the note is made, as it says it: each correction of usage with its own reason, as many as
    there is room for. `changed` are the hours whose usage did."""
    if invoice.status == _VOID:
        return _TAKEN_BACK
    accepted = any(each.refused_at is None for each in changed)
    windows = [window for line in lines for window in line.facts["windows"]] if accepted else []
    corrected = dict.fromkeys(
        each["reason"] for window in windows for each in window["corrections"]
    )
    told = [] if accepted else [_GOES_ON]
    if accepted and (not corrected or any(window["batches"] for window in windows)):
        told.append(_USAGE_CAME)
    if any(each.refused_at is not None for each in changed):
        told.append(_REFUSED_TOO)
    if not any(line.amount for line in lines):
        told.append(_ROLLS_OVER)
    if corrected:
        told.append(f"{_CORRECTED}: {'; '.join(corrected)}")
    return _shortened(". ".join(told))


def _shortened(reason: str) -> str:
    room = Invoice._meta.get_field("reason").max_length
    return reason if room is None or len(reason) <= room else f"{reason[: room - 1]}…"


def _refuse_what_is_too_late(invoice: Invoice, settings: BillingSettings, as_of: datetime) -> None:
    deadline = late_usage_deadline(invoice, settings)
    # What an earlier period's change comes to here was accepted with that change.
    late = pending_late_usage(invoice).filter(
        hour__isnull=False, accepted_at__isnull=True, noted_at__gte=deadline
    )
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
