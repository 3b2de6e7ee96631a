"""Dunning: what happens by itself to an invoice that is overdue.

One transaction an invoice, under its lock: a step and its record are one, so that a run that is
killed, or two that run at once, take none twice. core/dunning.py says which steps are due.
"""

from datetime import datetime
from typing import Final

from django.db import transaction

from billing.core.dunning import Step, due_steps, elapsed
from billing.core.lifecycle import PAYABLE
from billing.models import (
    DunningAction,
    DunningHold,
    DunningTaken,
    Invoice,
    PaymentAttempt,
)
from billing.operations.collecting import AttemptOpen, NoPaymentMethod, collect
from billing.operations.invoices import locked_invoice
from billing.operations.late_fees import count_late_fee
from billing.operations.lifecycle import InvoiceNotPayable
from billing.operations.mailing import mail_of_invoice
from billing.operations.suspending import end_suspension, suspend
from billing.queries.disputes import is_paused
from billing.queries.dunning import (
    holds_of,
    schedule,
    suspended_for_nothing,
    taken_of,
)

REMINDER_LEVEL_MAX: Final = 3
# Of these nobody knows yet whether the money comes; one that waits for the customer is dunned.
_UNDER_WAY: Final = ("created", "submitted", "unknown")


class ReasonForHoldMissing(ValueError):
    """Whoever holds dunning says why."""


def dun(invoice: Invoice, *, as_of: datetime) -> list[DunningTaken]:
    """Take the steps that are due of an invoice; those that were taken now. Run again, it takes
    none twice. What is paid meanwhile, held or being collected is left."""
    with transaction.atomic():
        locked = locked_invoice(invoice)
        if not _is_owed(locked, as_of):
            return []
        _follow_disputes(locked, as_of)
        if PaymentAttempt.objects.filter(invoice=locked, state__in=_UNDER_WAY).exists():
            return []
        assert locked.due_at is not None  # noqa: S101 what is owed is due
        steps = due_steps(schedule(), taken_of(locked), locked.due_at, holds_of(locked), as_of)
        return [_take(locked, step, as_of) for step in steps]


def end_needless_suspensions(*, as_of: datetime) -> int:
    """Let customers go on whose invoices were settled in any way; how many invoices."""
    ended = 0
    for invoice in suspended_for_nothing():
        with transaction.atomic():
            locked = locked_invoice(invoice)
            if not locked.open_amount:
                ended += end_suspension(locked, "nothing is to be paid any more", as_of=as_of)
    return ended


def hold_dunning(invoice: Invoice, reason: str, *, author: str, as_of: datetime) -> DunningHold:
    """Have dunning of an invoice stand still until it is resumed. One that is held by hand already
    is left as it is. Raises ReasonForHoldMissing."""
    if not reason.strip():
        raise ReasonForHoldMissing("say why dunning is held, for whoever looks at it later")
    with transaction.atomic():
        hold, _ = DunningHold.objects.get_or_create(
            invoice=locked_invoice(invoice),
            cause=DunningHold.Cause.HAND,
            ends_at=None,
            defaults={"reason": reason.strip()[:300], "author": author, "starts_at": as_of},
        )
    return hold


def resume_dunning(invoice: Invoice, *, as_of: datetime) -> bool:
    """End a hold by hand; whether there was one. Days go on being counted from here."""
    held = DunningHold.objects.filter(
        invoice=invoice, cause=DunningHold.Cause.HAND, ends_at__isnull=True
    )
    return bool(held.update(ends_at=as_of))


def _is_owed(invoice: Invoice, as_of: datetime) -> bool:
    is_due = invoice.due_at is not None and invoice.due_at <= as_of
    return is_due and invoice.status in PAYABLE and bool(invoice.open_amount)


def _follow_disputes(invoice: Invoice, as_of: datetime) -> None:
    """A dispute holds dunning from when it is first seen until it is seen to be over."""
    cause = DunningHold.Cause.DISPUTE
    open_one = DunningHold.objects.filter(invoice=invoice, cause=cause, ends_at__isnull=True)
    if is_paused(invoice):
        if not open_one.exists():
            DunningHold.objects.create(
                invoice=invoice, cause=cause, reason="a line is disputed", starts_at=as_of
            )
    else:
        open_one.update(ends_at=as_of)


def _take(invoice: Invoice, step: Step, as_of: datetime) -> DunningTaken:
    do = {
        DunningAction.COLLECT: _collect,
        DunningAction.REMIND: _remind,
        DunningAction.FEE: _charge,
        DunningAction.SUSPEND: _suspend,
    }[DunningAction(step.action)]
    return DunningTaken.objects.create(
        invoice=invoice,
        action=step.action,
        number=step.number,
        taken_at=as_of,
        outcome=do(invoice, step, as_of),
    )


def _collect(invoice: Invoice, step: Step, as_of: datetime) -> str:
    try:
        attempt = collect(invoice, as_of=as_of)
    except (NoPaymentMethod, InvoiceNotPayable, AttemptOpen) as reason:
        return str(reason)[:200]
    return f"attempt {attempt.number} began"


def _remind(invoice: Invoice, step: Step, as_of: datetime) -> str:
    assert invoice.due_at is not None  # noqa: S101 what is owed is due
    days = max(elapsed(invoice.due_at, [], as_of).days, 1)
    more = {"level": min(step.number, REMINDER_LEVEL_MAX), "days_overdue": days}
    key = f"{invoice.pk}:{step.number}"
    return _told(mail_of_invoice("reminder", key, invoice, more, as_of=as_of))


def _charge(invoice: Invoice, step: Step, as_of: datetime) -> str:
    return count_late_fee(invoice, step.number, as_of=as_of)


def _suspend(invoice: Invoice, step: Step, as_of: datetime) -> str:
    if not suspend(invoice, as_of=as_of):
        return "was suspended for it already"
    told = mail_of_invoice("suspension", f"{invoice.pk}:{step.number}", invoice, as_of=as_of)
    return f"suspended; {_told(told)}"


def _told(recipients: int) -> str:
    return f"sent to {recipients}" if recipients else "nobody was told: no e-mail address is known"
